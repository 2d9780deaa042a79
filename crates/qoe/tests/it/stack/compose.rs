//! The containers: what they may do, what they publish, and that names fit together.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{assert_good, root, text, yaml};

/// Those that are built from this checkout.
const OURS: [&str; 7] = ["migrate", "ingest", "aggregator", "diagnoser", "api", "target", "probe"];

fn strings(value: &Value) -> Vec<String> {
    let one = |value: &Value| value.as_str().map(ToOwned::to_owned);
    value.as_array().into_iter().flatten().filter_map(one).collect()
}

fn services() -> Vec<(String, Value)> {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_object().unwrap().clone();
    services.into_iter().collect()
}

/// The names in `${NAME...}`.
fn variables(text: &str) -> BTreeSet<String> {
    let names = text.split("${").skip(1).map(|rest| {
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
    });
    names.collect()
}

/// The names that .env.example lists.
fn env_names() -> BTreeSet<String> {
    let example = text(".env.example");
    let named = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    named.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn what_can_be_set_is_what_is_read() {
    let read = variables(&text("docker-compose.yml"));
    let settings = text("scripts/dev/settings.py");
    let listed = env_names();
    let unlisted: Vec<_> = read.difference(&listed).collect();
    assert!(unlisted.is_empty(), "not in .env.example: {unlisted:?}");
    for name in &listed {
        assert!(settings.contains(&format!("\"{name}\"")), "scripts/dev does not know {name}");
    }
    // The same ports in all three.
    for line in text(".env.example").lines().filter(|line| line.contains("_PORT=")) {
        let (name, port) = line.trim_start_matches('#').split_once('=').unwrap();
        assert!(settings.contains(&format!("\"{name}\": {port},")), "{line}");
        let used = read.contains(name);
        let default = format!("${{{name}:-{port}}}");
        assert!(!used || text("docker-compose.yml").contains(&default), "{default}");
    }
}

/// By its own parser, where the machine has it; that wants no engine.
#[test]
fn compose_reads_it() {
    let docker = |args: &[&str]| {
        let mut command = std::process::Command::new("docker");
        command.arg("compose").args(args).current_dir(root());
        command.envs(env_names().iter().map(|name| (name, "Aa12345678901234")));
        command.envs(env_names().iter().filter(|n| n.ends_with("_PORT")).map(|n| (n, "15000")));
        command.output()
    };
    if !docker(&["version"]).is_ok_and(|told| told.status.success()) {
        println!("docker compose was not asked: it is not here");
        return;
    }
    assert_good(&docker(&["--profile", "*", "config", "--quiet"]).unwrap());
}

#[test]
fn no_secret_has_a_default() {
    let compose = text("docker-compose.yml");
    for name in env_names().iter().filter(|name| name.ends_with("_PASSWORD")) {
        assert!(compose.contains(&format!("${{{name}:?")), "{name} may be empty");
        assert!(!compose.contains(&format!("${{{name}:-")), "{name} has a default");
    }
    for (name, service) in services() {
        let command = strings(&service["command"]).join(" ");
        assert!(!command.contains("${"), "{name}: a variable on its command line: {command}");
    }
}

#[test]
fn images_are_pinned_and_every_service_has_a_profile() {
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap();
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        let pinned = tag.contains('.') && tag.chars().any(|c| c.is_ascii_digit());
        assert!(pinned || image == "qoe:dev", "{name}: {image}");
        let profiles = strings(&service["profiles"]);
        assert!(profiles == ["core"] || profiles == ["observability"], "{name}: {profiles:?}");
    }
    let servers = text("scripts/servers");
    let major = |text: &str| text.split('.').next().unwrap().to_owned();
    let fetched = servers.lines().find_map(|line| line.strip_prefix("postgres=")).unwrap();
    let image = yaml("docker-compose.yml")["services"]["postgres"]["image"].clone();
    assert_eq!(major(image.as_str().unwrap().strip_prefix("postgres:").unwrap()), major(fetched));
}

#[test]
fn containers_may_do_next_to_nothing() {
    let dockerfile = text("Dockerfile");
    assert!(dockerfile.contains("FROM scratch") && dockerfile.contains("USER 65532:65532"));
    for (name, service) in services() {
        let options = strings(&service["security_opt"]);
        assert_eq!(options, ["no-new-privileges:true"], "{name}");
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        assert!(service["privileged"].is_null() && service["network_mode"] != "host", "{name}");
        let read_only = service["read_only"] == true;
        assert!(read_only || name == "postgres", "{name} can write to its image");
        let ours = OURS.contains(&name.as_str());
        assert_eq!(ours, service["image"] == "qoe:dev", "{name}");
        assert!(!ours || service["user"].is_string(), "{name} runs as root");
    }
}

#[test]
fn every_port_is_on_loopback_alone() {
    let mut published = BTreeSet::new();
    for (name, service) in services() {
        for port in strings(&service["ports"]) {
            let rest = port.strip_prefix("127.0.0.1:").unwrap_or_else(|| panic!("{name}: {port}"));
            assert!(published.insert(rest.split('}').next().unwrap().to_owned()), "{port} twice");
        }
    }
    assert!(published.len() > 10, "{published:?}");
}

#[test]
fn volumes_secrets_and_files_are_there() {
    let compose = yaml("docker-compose.yml");
    let declared = |kind: &str| -> BTreeSet<String> {
        compose[kind].as_object().unwrap().keys().cloned().collect()
    };
    let [mut volumes, mut secrets] = [BTreeSet::new(), BTreeSet::new()];
    for (name, service) in services() {
        for volume in strings(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            match source.strip_prefix("./") {
                Some(file) => {
                    assert!(root().join(file).exists(), "{name}: {source}");
                    assert!(volume.ends_with(":ro"), "{name} can write to {source}");
                }
                None => drop(volumes.insert(source.to_owned())),
            }
        }
        for secret in service["secrets"].as_array().into_iter().flatten() {
            let named = secret.as_str().or_else(|| secret["source"].as_str()).unwrap();
            secrets.insert(named.to_owned());
        }
        for other in service["depends_on"].as_object().into_iter().flatten() {
            assert!(compose["services"][other.0].is_object(), "{name} waits for {}", other.0);
        }
    }
    assert_eq!(volumes, declared("volumes"));
    assert_eq!(secrets, declared("secrets"));
}

#[test]
fn prometheus_scrapes_where_the_roles_listen() {
    let targets = yaml("deploy/prometheus/targets/compose.yml");
    let services: Vec<_> = services();
    let mut scraped = 0;
    for entry in targets.as_array().unwrap() {
        let target = entry["targets"][0].as_str().unwrap();
        let (name, port) = target.split_once(':').unwrap();
        // The probe has the network of the target.
        let role = if name == "target" { "probe" } else { name };
        assert_eq!(entry["labels"]["role"], role);
        let (_, service) = services.iter().find(|(service, _)| service == role).unwrap();
        let command = strings(&service["command"]).join(" ");
        assert!(command.contains(&format!("0.0.0.0:{port}")), "{name}: {command}");
        scraped += 1;
    }
    assert_eq!(scraped, 5);
}

#[test]
fn grafana_finds_what_its_sources_name() {
    let sources = text("deploy/grafana/provisioning/datasources/qoe.yml");
    let compose = yaml("docker-compose.yml");
    let given = &compose["services"]["grafana"]["environment"];
    let named = variables(&sources).into_iter().chain(["READER_PASSWORD".to_owned()]);
    for name in named {
        assert!(given[&name].is_string(), "grafana is not given {name}");
    }
    let parsed = yaml("deploy/grafana/provisioning/datasources/qoe.yml");
    let uids: BTreeSet<_> = parsed["datasources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source["uid"].as_str().unwrap().to_owned())
        .collect();
    for (path, dashboard) in super::dashboards() {
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let uid = target["datasource"]["uid"].as_str().unwrap();
                assert!(uids.contains(uid), "{path}: {uid}");
            }
        }
    }
    yaml("deploy/grafana/provisioning/dashboards/qoe.yml");
    yaml("deploy/otel/collector.yml");
}
