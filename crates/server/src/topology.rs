//! The file that says who is where.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use model::detect::{Place, Topology};
use serde::Deserialize;
use toml::Spanned;

use crate::file::{self, FileError, Wrong};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    clients: Vec<Client>,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    resolvers: Vec<Resolver>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    id: Spanned<String>,
    site: Option<String>,
    isp: Option<String>,
    resolver: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    url: String,
    address: Option<String>,
    #[serde(default)]
    addresses: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolver {
    id: String,
    address: Option<String>,
}

/// More is no file that a person wrote: a hundred thousand clients have room in it.
const MOST_BYTES: u64 = 64 << 20;

/// Reads a file.
///
/// # Errors
/// Where it can't be read, or holds what can't be used: which line, and the way out.
pub fn load(path: &Path) -> Result<Topology, FileError> {
    file::load("the topology", path, MOST_BYTES, |text| topology(&text))
}

fn topology(text: &Text) -> Result<Topology, Wrong> {
    let mut seen = HashSet::new();
    for id in text.clients.iter().map(|client| &client.id) {
        if !seen.insert(id.get_ref()) {
            let what = format!("the client {:?} is named twice: keep one of them", id.get_ref());
            return Err((id.span(), what));
        }
    }
    // Events name a resolver by its address, the topology by its id.
    let resolvers: HashMap<&str, &str> = text
        .resolvers
        .iter()
        .filter_map(|resolver| Some((resolver.address.as_deref()?, resolver.id.as_str())))
        .collect();
    let ids: HashSet<&str> = text.resolvers.iter().map(|resolver| resolver.id.as_str()).collect();
    let mut topology = Topology::default();
    for client in &text.clients {
        if let Some(asked) = &client.resolver
            && !ids.is_empty()
            && !ids.contains(&**asked.get_ref())
            && !resolvers.contains_key(&**asked.get_ref())
        {
            let what = format!(
                "the client {:?} asks the resolver {:?}, which no [[resolvers]] names: add it there, or \
                 write one of theirs",
                client.id.get_ref(),
                asked.get_ref()
            );
            return Err((asked.span(), what));
        }
        let arc = |text: &Option<String>| text.as_deref().map(Arc::from);
        let resolver = client.resolver.as_ref().map(|r| r.get_ref().as_str());
        let resolver = resolver.map(|r| resolvers.get(r).copied().unwrap_or(r));
        let place = Place {
            site: arc(&client.site),
            isp: arc(&client.isp),
            resolver: resolver.map(Arc::from),
            ..Place::default()
        };
        topology.clients.insert(client.id.get_ref().as_str().into(), place);
    }
    for target in &text.targets {
        let known = target.address.iter().chain(&target.addresses);
        let mut addresses: Vec<Arc<str>> = known.map(|address| address.as_str().into()).collect();
        addresses.sort();
        addresses.dedup();
        topology.addresses.insert(target.url.as_str().into(), addresses);
    }
    topology.resolvers =
        resolvers.into_iter().map(|(address, id)| (address.into(), id.into())).collect();
    Ok(topology)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[[clients]]\nid = 'c1'\nsite = 's'\nisp = 'i'\nresolver = 'r1'\n\
        [[targets]]\nurl = 'https://a.example/'\naddresses = ['192.0.2.2', '192.0.2.1']\n\
        [[resolvers]]\nid = 'r1'\naddress = '192.0.2.53'\n";

    #[test]
    fn who_is_where_is_read() {
        let topology = topology(&file::read(TEXT).unwrap()).unwrap();
        let place = &topology.clients["c1"];
        assert_eq!((place.site.as_deref(), place.resolver.as_deref()), (Some("s"), Some("r1")));
        assert_eq!(topology.addresses["https://a.example/"].len(), 2);
        assert_eq!(&*topology.resolvers["192.0.2.53"], "r1");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        let said = |text: &str| {
            std::fs::write(&path, text).unwrap();
            load(&path).unwrap_err().to_string()
        };
        let wrong = said("[[clients]]\nid = 'a'\nsit = 'x'\n");
        assert!(wrong.contains("t.toml:3: ") && wrong.contains("sit"), "{wrong}");
        let twice = said("[[clients]]\nid = 'a'\n[[clients]]\nid = 'a'\n");
        assert!(twice.contains("t.toml:4: ") && twice.contains("named twice"), "{twice}");
        let unknown = said(&TEXT.replace("resolver = 'r1'", "resolver = 'r9'"));
        assert!(unknown.contains("t.toml:5: "), "{unknown}");
        assert!(unknown.contains("\"r9\", which no [[resolvers]] names: add it"), "{unknown}");
        let missing = load(&dir.path().join("none.toml")).unwrap_err().to_string();
        assert!(missing.contains("none.toml"), "{missing}");
    }
}
