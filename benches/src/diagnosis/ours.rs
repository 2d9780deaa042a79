//! The detector of `qoe diagnose`.

use std::sync::Arc;

use anyhow::Context as _;
use model::decode::{Limits, decode_each};
use model::detect::{CellId, Judged, Place, Replay, Scope, Sighting};
use model::units::MINUTE_MS;
use model::wire::WireEvent;
use testbed::score::{ToldIncident, ToldScope};
use testbed::simulate::ScopeName;

use super::detector::{Detector, Labels, Note, Output, Topology, Verdict};

pub(crate) struct Ours;

impl Detector for Ours {
    fn name(&self) -> &'static str {
        "qoe"
    }

    fn run(
        &mut self,
        topology: &Topology,
        events: &mut dyn Iterator<Item = WireEvent>,
    ) -> anyhow::Result<Vec<Output>> {
        let mut replay = Replay::new(known(topology));
        let mut verdicts = Vec::new();
        let limits = Limits { max_age_ms: i64::MAX, max_ahead_ms: i64::MAX, ..Limits::default() };
        for event in events {
            // As `qoe diagnose` reads it.
            let text = serde_json::to_vec(&event)?;
            let decoded = decode_each([&text[..]], 0, &limits);
            let accepted = decoded.events.first();
            let event = &accepted.context("the simulator made what is no event")?.event;
            for judged in replay.take(Sighting::of(event, &text)) {
                verdicts.extend(verdict(&replay, &judged));
            }
        }
        for judged in replay.finish() {
            verdicts.extend(verdict(&replay, &judged));
        }
        let incidents = replay.incidents().map(|(incident, given_ms)| {
            let name = |scope: &Scope| ScopeName {
                kind: scope.kind.as_str().to_owned(),
                id: scope.id.to_string(),
            };
            let scope = |(at_ms, scope): &(i64, Scope)| ToldScope {
                at_ms: *at_ms,
                scope: name(scope),
                ambiguous_with: incident.ambiguous_with.iter().map(name).collect(),
            };
            let cell = |&cell: &usize| {
                let (client, target) = replay.key(CellId(cell));
                (client.to_owned(), target.to_owned())
            };
            ToldIncident {
                label: incident.label,
                scopes: replay.told_scopes(incident.id).iter().map(scope).collect(),
                cells: incident.cells.iter().map(cell).collect(),
                onset_ms: incident.onset * MINUTE_MS,
                opened_ms: given_ms,
                last_bad_ms: incident.last_bad * MINUTE_MS,
                end_ms: incident.end.map(|minute| minute * MINUTE_MS),
            }
        });
        let notes = replay.drifts().iter().map(|drift| {
            let (client, target) = replay.key(drift.cell);
            Note {
                client: client.to_owned(),
                target: target.to_owned(),
                at_ms: (drift.noted_at + 1) * MINUTE_MS,
            }
        });
        Ok(vec![Output {
            rules: "qoe",
            labels: Labels::Extended,
            incidents: incidents.collect(),
            verdicts,
            notes: notes.collect(),
        }])
    }
}

fn verdict(replay: &Replay, judged: &Judged) -> Option<Verdict> {
    let (client, target) = replay.key(judged.cell);
    Some(Verdict {
        client: client.to_owned(),
        target: target.to_owned(),
        minute_ms: judged.minute * MINUTE_MS,
        label: judged.label.filter(|label| label.is_fault())?,
        first_given_ms: judged.given_ms,
    })
}

fn known(topology: &Topology) -> model::detect::Topology {
    let arc = |text: &String| -> Arc<str> { text.as_str().into() };
    let clients = topology.clients.iter().map(|[id, site, isp, resolver]| {
        let place = Place {
            site: Some(arc(site)),
            isp: Some(arc(isp)),
            resolver: Some(arc(resolver)),
            ..Place::default()
        };
        (arc(id), place)
    });
    let addresses = topology
        .targets
        .iter()
        .map(|(url, addresses)| (arc(url), addresses.iter().map(arc).collect()));
    model::detect::Topology {
        clients: clients.collect(),
        addresses: addresses.collect(),
        resolvers: topology.resolvers.iter().map(|id| (arc(id), arc(id))).collect(),
    }
}
