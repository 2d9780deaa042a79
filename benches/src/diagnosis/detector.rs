//! What is scored: from events and a topology to labels and incidents.

use model::diagnosis::Label;
use model::wire::WireEvent;
use testbed::score::ToldIncident;
use testbed::simulate::{Scenario, addresses};

/// Who is scored. A detector knows no truth, and is given the events in the order they arrived.
pub(crate) trait Detector {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Judges a whole trace; one output a rule set it has.
    ///
    /// # Errors
    /// What keeps it from judging at all.
    fn run(
        &mut self,
        topology: &Topology,
        events: &mut dyn Iterator<Item = WireEvent>,
    ) -> anyhow::Result<Vec<Output>>;
}

/// What a rule set told of a trace.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Its name in the table.
    pub(crate) rules: &'static str,
    /// The labels it knows.
    pub(crate) labels: Labels,
    /// A window that was given a label; those without need not be told.
    pub(crate) verdicts: Vec<Verdict>,
    /// Empty where it knows none.
    pub(crate) incidents: Vec<ToldIncident>,
    /// Slow drift that was noted.
    pub(crate) notes: Vec<Note>,
}

/// Which labels a rule set knows, and is scored by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Labels {
    /// The four, without outages: other faults count neither for it nor against.
    Four,
    /// All of them.
    Extended,
}

/// What a window was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The cell's client.
    pub(crate) client: String,
    /// The cell's target.
    pub(crate) target: String,
    /// Start of the window, milliseconds since the Unix epoch.
    pub(crate) minute_ms: i64,
    /// What it was called.
    pub(crate) label: Label,
    /// When it was first called that.
    pub(crate) first_given_ms: i64,
}

/// That something changes slowly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The cell's client.
    pub(crate) client: String,
    /// The cell's target.
    pub(crate) target: String,
    /// When it was told first.
    pub(crate) at_ms: i64,
}

/// Who measures what from where, as `topology.toml` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    /// Id, site, ISP, resolver.
    pub(crate) clients: Vec<[String; 4]>,
    /// URL and addresses.
    pub(crate) targets: Vec<(String, Vec<String>)>,
    /// Addresses, which are their ids.
    pub(crate) resolvers: Vec<String>,
}

impl Topology {
    /// The scenario's.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let clients = scenario.clients.iter();
        let mut resolvers: Vec<String> = clients.clone().map(|c| c.resolver.clone()).collect();
        resolvers.sort_unstable();
        resolvers.dedup();
        let with_addresses = |url: &String| (url.clone(), addresses(scenario, url));
        Self {
            clients: clients
                .map(|c| [&c.id, &c.site, &c.isp, &c.resolver].map(String::clone))
                .collect(),
            targets: scenario.targets.iter().map(with_addresses).collect(),
            resolvers,
        }
    }
}
