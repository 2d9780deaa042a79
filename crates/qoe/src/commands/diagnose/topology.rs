//! The file that says who is where.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use model::detect::{Place, Topology};
use serde::Deserialize;

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
    id: String,
    site: Option<String>,
    isp: Option<String>,
    resolver: Option<String>,
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

/// Reads it.
pub(super) fn load(path: &Path) -> anyhow::Result<Topology> {
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    read(&text).with_context(|| format!("{}", path.display()))
}

fn read(text: &str) -> anyhow::Result<Topology> {
    let text: Text = toml::from_str(text)?;
    let mut seen = HashSet::new();
    for id in text.clients.iter().map(|client| &client.id) {
        ensure!(seen.insert(id), "the client {id:?} is named twice");
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
        if let Some(resolver) = client.resolver.as_deref()
            && !ids.is_empty()
        {
            ensure!(
                ids.contains(resolver) || resolvers.contains_key(resolver),
                "the client {:?} asks the resolver {resolver:?}, which no [[resolvers]] names",
                client.id
            );
        }
        let arc = |text: &Option<String>| text.as_deref().map(Arc::from);
        let resolver = client.resolver.as_deref().map(|r| resolvers.get(r).copied().unwrap_or(r));
        let place = Place {
            site: arc(&client.site),
            isp: arc(&client.isp),
            resolver: resolver.map(Arc::from),
            ..Place::default()
        };
        topology.clients.insert(client.id.as_str().into(), place);
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
        let topology = read(TEXT).unwrap();
        let place = &topology.clients["c1"];
        assert_eq!((place.site.as_deref(), place.resolver.as_deref()), (Some("s"), Some("r1")));
        assert_eq!(topology.addresses["https://a.example/"].len(), 2);
        assert_eq!(&*topology.resolvers["192.0.2.53"], "r1");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |text: &str| format!("{:#}", read(text).unwrap_err());
        assert!(said("[[clients]]\nid = 'a'\nsit = 'x'\n").contains("sit"));
        assert!(said("[[clients]]\nid = 'a'\n[[clients]]\nid = 'a'\n").contains("named twice"));
        let unknown = TEXT.replace("resolver = 'r1'", "resolver = 'r9'");
        assert!(said(&unknown).contains("\"r9\", which no [[resolvers]] names"));
    }
}
