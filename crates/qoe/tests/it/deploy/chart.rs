//! The chart: its values against its schema, and what it renders to, with the least that must be
//! said and with everything switched on.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::template::Templates;
use super::{files, read, unknown_flags, yaml};

const CHART: &str = "deploy/helm/qoe";

/// The chart's own values with those of a file over them.
fn values(file: Option<&str>) -> Value {
    let mut values = yaml(&read(&format!("{CHART}/values.yaml"))).remove(0);
    if let Some(file) = file {
        lay_over(&mut values, yaml(&read(&format!("{CHART}/ci/{file}"))).remove(0));
    }
    values
}

fn lay_over(values: &mut Value, over: Value) {
    match (values, over) {
        (Value::Object(values), Value::Object(over)) => {
            for (key, value) in over {
                lay_over(values.entry(key).or_insert(Value::Null), value);
            }
        }
        (values, over) => *values = over,
    }
}

/// Every object of a release, with the name of its template.
fn render(values: &Value) -> Result<Vec<(String, Value)>, String> {
    let mut templates = Templates::default();
    for name in files(&format!("{CHART}/templates"), ".tpl") {
        templates.define(&read(&format!("{CHART}/templates/{name}")))?;
    }
    let chart = &yaml(&read(&format!("{CHART}/Chart.yaml")))[0];
    let root = json!({
        "Values": values,
        "Release": {"Name": "here", "Service": "Helm"},
        "Chart": {"Name": chart["name"], "Version": chart["version"], "AppVersion": chart["appVersion"]},
    });
    let mut objects = Vec::new();
    for name in files(&format!("{CHART}/templates"), ".yaml") {
        let text = templates.render(&read(&format!("{CHART}/templates/{name}")), &root)?;
        objects.extend(yaml(&text).into_iter().map(|object| (name.clone(), object)));
    }
    templates.render(&read(&format!("{CHART}/templates/NOTES.txt")), &root)?;
    Ok(objects)
}

fn everything() -> Vec<(String, Value)> {
    render(&values(Some("all-values.yaml"))).unwrap()
}

/// The pods that objects make, with the name of what makes them.
fn pods(objects: &[(String, Value)]) -> Vec<(String, &Value)> {
    let pod = |(_, object): &'_ (String, Value)| {
        object["spec"]["template"]["spec"]
            .is_object()
            .then(|| object["metadata"]["name"].to_string())
    };
    objects
        .iter()
        .filter_map(|entry| Some((pod(entry)?, &entry.1["spec"]["template"]["spec"])))
        .collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn no_pod_may_more_than_it_needs() {
    let objects = everything();
    let pods = pods(&objects);
    assert_eq!(pods.len(), 6, "four roles, the migration and the probe");
    for (name, pod) in pods {
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        let of_pod = &pod["securityContext"];
        assert_eq!(of_pod["runAsNonRoot"], true, "{name}");
        assert!(of_pod["runAsUser"].as_u64() > Some(0), "{name}");
        assert_eq!(of_pod["seccompProfile"], json!({"type": "RuntimeDefault"}), "{name}");
        for container in pod["containers"].as_array().unwrap() {
            let wanted = json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            });
            assert_eq!(container["securityContext"], wanted, "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        }
    }
}

#[test]
fn every_command_of_a_pod_is_one_and_what_it_reads_is_mounted() {
    for file in ["least-values.yaml", "all-values.yaml"] {
        let objects = render(&values(Some(file))).unwrap();
        for (name, pod) in pods(&objects) {
            let container = &pod["containers"][0];
            let command = [texts(&container["command"]), texts(&container["args"])].concat();
            assert_eq!(unknown_flags(&command), Vec::<String>::new(), "{file}: {name}");
            let list = |key: &str| container[key].as_array().unwrap().clone();
            let mounts = list("volumeMounts");
            for path in command.iter().filter_map(|word| word.split_once("=/")?.1.into()) {
                let mounted = mounts.iter().any(|mount| {
                    format!("/{path}")
                        .starts_with(&format!("{}/", mount["mountPath"].as_str().unwrap()))
                });
                assert!(mounted, "{file}: {name} reads /{path}, which is not mounted");
            }
            let names = |list: &[Value]| -> BTreeSet<String> {
                list.iter().map(|item| item["name"].to_string()).collect()
            };
            assert_eq!(names(&mounts), names(pod["volumes"].as_array().unwrap()), "{file}: {name}");
        }
    }
}

#[test]
fn each_role_listens_where_it_is_asked_for_its_health() {
    for (file, scheme) in [("least-values.yaml", "HTTP"), ("all-values.yaml", "HTTPS")] {
        let objects = render(&values(Some(file))).unwrap();
        let roles: Vec<_> =
            objects.iter().filter(|(_, object)| object["kind"] == "Deployment").collect();
        assert_eq!(roles.len(), 4);
        for (name, role) in roles {
            let container = &role["spec"]["template"]["spec"]["containers"][0];
            for (probe, path) in [("livenessProbe", "/-/healthy"), ("readinessProbe", "/-/ready")] {
                let get = &container[probe]["httpGet"];
                assert_eq!(
                    (&get["path"], &get["scheme"]),
                    (&path.into(), &scheme.into()),
                    "{name}"
                );
                assert_eq!(get["port"], container["ports"][0]["name"], "{name}");
            }
            let args = texts(&container["args"]);
            let listen = format!("--listen=0.0.0.0:{}", container["ports"][0]["containerPort"]);
            assert!(args.contains(&listen), "{name}: {args:?}");
            let insecure = args.contains(&"--insecure-http".to_owned());
            assert_eq!(insecure, scheme == "HTTP", "{name}");
            assert_eq!(
                args.contains(&"--tls-key=/run/qoe/tls/tls.key".to_owned()),
                !insecure,
                "{name}"
            );
            let labels = &role["spec"]["selector"]["matchLabels"];
            assert_eq!(labels, &role["spec"]["template"]["metadata"]["labels"], "{name}");
        }
    }
}

#[test]
fn what_is_reached_is_there_and_nothing_else_is_open() {
    let objects = everything();
    let of = |kind: &str| {
        let found = objects.iter().filter(move |(_, object)| object["kind"] == *kind);
        found.map(|(_, object)| object).collect::<Vec<_>>()
    };
    let count = |kind| of(kind).len();
    assert_eq!(
        (count("Service"), count("Ingress"), count("Job"), count("DaemonSet")),
        (2, 2, 1, 1)
    );
    assert_eq!((count("PodDisruptionBudget"), count("NetworkPolicy")), (4, 5));
    assert_eq!(count("Secret"), 0, "secrets are named and never made");
    let selectors: BTreeSet<_> = [of("Deployment"), of("DaemonSet")]
        .concat()
        .into_iter()
        .map(|object| object["spec"]["selector"]["matchLabels"].to_string())
        .collect();
    for policy in of("NetworkPolicy") {
        assert!(selectors.contains(&policy["spec"]["podSelector"]["matchLabels"].to_string()));
        let role = policy["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap();
        let open = !policy["spec"]["ingress"].as_array().unwrap().is_empty();
        assert_eq!(open, ["ingest", "api"].contains(&role), "{role}");
    }
    for service in of("Service") {
        assert!(selectors.contains(&service["spec"]["selector"].to_string()));
    }
    for budget in of("PodDisruptionBudget") {
        assert!(selectors.contains(&budget["spec"]["selector"]["matchLabels"].to_string()));
    }
    let account = of("ServiceAccount");
    assert_eq!(account[0]["automountServiceAccountToken"], false);
    // What the probe measures is a file that the probe takes.
    let config = of("ConfigMap")[0]["data"]["probe.toml"].as_str().unwrap();
    assert!(toml::from_str::<Value>(config).unwrap()["target"][0]["url"].is_string());
}

#[test]
fn what_must_be_said_is_asked_for() {
    let without = |path: &[&str]| {
        let mut values = values(Some("least-values.yaml"));
        let (last, above) = path.split_last().unwrap();
        let place = above.iter().fold(&mut values, |value, key| &mut value[key]);
        place[last] = if place[last].is_boolean() { false.into() } else { "".into() };
        render(&values).unwrap_err()
    };
    assert!(without(&["image", "repository"]).contains("image.repository"));
    assert!(without(&["bus", "url"]).contains("bus.url"));
    assert!(without(&["database", "secret"]).contains("database.secret"));
    assert!(without(&["tls", "insecureHttp"]).contains("tls.secret"));
    assert!(render(&values(None)).is_err());
}

#[test]
fn values_are_as_the_schema_has_them() {
    let schema: Value =
        serde_json::from_str(&read(&format!("{CHART}/values.schema.json"))).unwrap();
    for values in [values(None), values(Some("least-values.yaml")), values(Some("all-values.yaml"))]
    {
        assert_eq!(check(&values, &schema, "values"), Vec::<String>::new());
    }
    for (path, wrong) in [
        ("/ingest/replica", json!(2)),
        ("/ingest/replicas", json!("2")),
        ("/ingest/replicas", json!(-1)),
        ("/tls/insecureHttp", json!("yes")),
        ("/image/pullPolicy", json!("Sometimes")),
        ("/networkPolicy/alertPorts", json!(["443"])),
    ] {
        let mut values = values(None);
        let (above, key) = path.rsplit_once('/').unwrap();
        values.pointer_mut(above).unwrap()[key] = wrong;
        assert_eq!(check(&values, &schema, "values").len(), 1, "{path}");
    }
}

/// So much of JSON Schema as ours uses, but for `pattern`.
fn check(value: &Value, schema: &Value, path: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_type = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        Some(other) => panic!("{path}: type {other}"),
        None => schema["enum"].as_array().unwrap().contains(value),
    };
    let least = schema["minimum"].as_i64().is_some_and(|least| value.as_i64() < Some(least));
    let most = schema["maximum"].as_i64().is_some_and(|most| value.as_i64() > Some(most));
    let empty = schema["minLength"] == 1 && value == "";
    if !is_type || least || most || empty {
        return vec![format!("{path} is {value}, not as in {schema}")];
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for key in required.filter(|key| value.get(key.as_str().unwrap_or_default()).is_none()) {
        wrong.push(format!("{path} lacks {key}"));
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(key) {
            Some(schema) => wrong.extend(check(value, schema, &format!("{path}.{key}"))),
            None if schema["additionalProperties"] == false => wrong.push(format!("{path}.{key}")),
            None => {}
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        wrong.extend(check(item, &schema["items"], &format!("{path}[{at}]")));
    }
    wrong
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = &yaml(&read(&format!("{CHART}/Chart.yaml")))[0];
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}
