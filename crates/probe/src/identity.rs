//! Who measures, and where it stands.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use model::wire::NetworkContext;

mod client_id;
mod interface;

/// What a probe says of itself in every event.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Made once and kept.
    pub client_id: String,
    /// What the user calls this place.
    pub user_label: Option<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
}

impl Identity {
    /// An identity of a given name, with nothing else said.
    pub fn named(client_id: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), user_label: None, labels: BTreeMap::new() }
    }

    /// The kind of interface that carries traffic from an address, or where that is not known to
    /// another (or to anywhere), and whether a VPN does, as the system tells. What it does not tell
    /// is `unknown`.
    pub fn network_context(&self, local: Option<IpAddr>, remote: Option<IpAddr>) -> NetworkContext {
        let source = local.or_else(|| interface::source(remote));
        let link = source.map(interface::of_source).unwrap_or_default();
        NetworkContext {
            interface_type: link.kind.to_owned(),
            vpn_enabled: link.vpn,
            user_label: self.user_label.clone(),
        }
    }
}

/// The interface that carries traffic from an address, or where that is not known to another.
pub(crate) fn interface_name(local: Option<IpAddr>, remote: Option<IpAddr>) -> Option<String> {
    interface::owner(local.or_else(|| interface::source(remote))?)
}

/// Whether the system knows a way to an address.
pub(crate) fn is_routed(remote: IpAddr) -> bool {
    interface::is_routed(remote)
}

/// Whether it knows a way to anywhere.
pub(crate) fn has_a_route() -> bool {
    interface::ANYWHERE.into_iter().any(interface::is_routed)
}

/// The client id of this user on this machine: read from a state directory
/// (`$XDG_STATE_HOME/qoe`, else `~/.local/state/qoe`, where none is given), made there on the
/// first start. Starts at the same time agree on one.
///
/// # Errors
/// There is no home, the directory cannot be written, or the file holds something else.
pub fn client_id(state_dir: Option<&Path>) -> anyhow::Result<String> {
    let dir = match state_dir {
        Some(dir) => dir.to_owned(),
        None => default_state_dir().context("neither XDG_STATE_HOME nor HOME is set")?,
    };
    client_id::read_or_make(&dir)
}

/// Where a user's programs keep what they have to know again.
pub(crate) fn default_state_dir() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(state?.join("qoe"))
}
