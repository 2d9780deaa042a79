//! Modules other than HTTP: what they measured, as blackbox_exporter's metrics. Pure.

use std::time::Duration;

use super::page::Page;
use crate::Measurement;

/// A measurement, with what only its kind of module knows.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Look-up, address, connection and handshake.
    pub(super) m: Measurement,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Tcp,
    Dns(Asked),
    Icmp(Pinged),
}

/// A query to a name server.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Opening a socket, or connecting over TCP.
    pub(super) connect: Option<Duration>,
    /// The query to its answer.
    pub(super) request: Option<Duration>,
    pub(super) answer: Option<Answer>,
}

/// What it said.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) answers: usize,
    pub(super) authorities: usize,
    pub(super) additionals: usize,
    /// Of a zone that was asked for.
    pub(super) serial: Option<u32>,
}

/// An echo request.
#[derive(Clone, Debug, Default)]
pub(super) struct Pinged {
    pub(super) setup: Option<Duration>,
    pub(super) round_trip: Option<Duration>,
    /// Why there is no round trip, for a program and for a person.
    pub(super) failure: Option<(&'static str, String)>,
}

impl Outcome {
    /// Whether it was a success.
    pub(super) fn is_success(&self) -> bool {
        let done = match &self.kind {
            Kind::Tcp => true,
            Kind::Dns(asked) => asked.answer.is_some(),
            Kind::Icmp(pinged) => pinged.round_trip.is_some(),
        };
        done && self.m.failure.is_none()
    }

    /// Its metrics.
    pub(super) fn page(&self) -> String {
        let (mut page, m) = (Page::default(), &self.m);
        page.lookup(m.dns);
        match &self.kind {
            Kind::Tcp => {
                let help = "Indicates if probe failed due to regex";
                page.gauge("probe_failed_due_to_regex", help, 0);
            }
            Kind::Dns(asked) => dns(&mut page, m.dns, asked),
            Kind::Icmp(pinged) => page.phases(
                "probe_icmp_duration_seconds",
                "Duration of icmp request by phase",
                &[("resolve", m.dns), ("rtt", pinged.round_trip), ("setup", pinged.setup)],
            ),
        }
        page.address(m.remote_addr.map(|address| address.ip()));
        page.tls(m);
        page.outcome(m.elapsed, self.is_success());
        page.more(m.failure.as_ref(), Some(m));
        if let Some(("icmp", kind)) = self.failed() {
            page.failed("icmp", kind);
        }
        page.text()
    }

    /// What went on, for a person.
    pub(super) fn story(&self) -> String {
        let mut out = super::story(&self.m);
        if let Kind::Icmp(Pinged { failure: Some((_, detail)), .. }) = &self.kind {
            out.push_str(&format!("  icmp {detail}\n"));
        }
        out
    }

    fn failed(&self) -> Option<(&'static str, &'static str)> {
        match &self.kind {
            Kind::Icmp(Pinged { failure: Some((kind, _)), .. }) => Some(("icmp", *kind)),
            _ => None,
        }
    }
}

fn dns(page: &mut Page, resolve: Option<Duration>, asked: &Asked) {
    page.phases(
        "probe_dns_duration_seconds",
        "Duration of DNS request by phase",
        &[("connect", asked.connect), ("request", asked.request), ("resolve", resolve)],
    );
    let help = "Displays whether or not the query was executed successfully";
    page.gauge("probe_dns_query_succeeded", help, u8::from(asked.answer.is_some()));
    let Some(answer) = &asked.answer else { return };
    let of =
        |section: &str| format!("Returns number of entries in the {section} resource record list");
    page.gauge("probe_dns_additional_rrs", &of("additional"), answer.additionals);
    page.gauge("probe_dns_answer_rrs", &of("answer"), answer.answers);
    page.gauge("probe_dns_authority_rrs", &of("authority"), answer.authorities);
    if let Some(serial) = answer.serial {
        page.gauge("probe_dns_serial", "Returns the serial number of the zone", serial);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use url::Url;

    /// A page of each kind.
    pub(in super::super) fn pages() -> Vec<String> {
        let ms = |n| Some(Duration::from_millis(n));
        let mut m = Measurement::started(&Url::parse("tcp://a.test:25").unwrap(), 0);
        (m.dns, m.tcp, m.remote_addr) = (ms(1), ms(2), Some(([127, 0, 0, 1], 25).into()));
        let answer = Some(Answer { answers: 2, serial: Some(7), ..Answer::default() });
        let asked = Asked { connect: ms(1), request: ms(3), answer };
        let pinged = Pinged { setup: ms(1), round_trip: ms(4), failure: None };
        let kinds = [Kind::Tcp, Kind::Dns(asked), Kind::Icmp(pinged)];
        kinds.into_iter().map(|kind| Outcome { m: m.clone(), kind }.page()).collect()
    }

    #[test]
    fn each_kind_has_its_own_metrics() {
        let [tcp, dns, icmp] = pages().try_into().unwrap();
        assert!(tcp.contains("probe_success 1\n") && tcp.contains("probe_failed_due_to_regex 0\n"));
        assert!(dns.contains("probe_dns_answer_rrs 2\n") && dns.contains("probe_dns_serial 7\n"));
        assert!(dns.contains("probe_dns_duration_seconds{phase=\"request\"} 0.003\n"), "{dns}");
        assert!(icmp.contains("probe_icmp_duration_seconds{phase=\"rtt\"} 0.004\n"), "{icmp}");
    }

    #[test]
    fn what_did_not_happen_has_no_line_and_is_no_success() {
        let m = Measurement::started(&Url::parse("tcp://a.test:25").unwrap(), 0);
        let failure = Some(("icmp.timed_out", "nothing came back".to_owned()));
        let icmp = Kind::Icmp(Pinged { failure, ..Pinged::default() });
        for (kind, said) in [
            (icmp, "probe_failure_info{stage=\"icmp\",type=\"icmp.timed_out\"} 1\n"),
            (Kind::Dns(Asked::default()), "probe_dns_query_succeeded 0\n"),
        ] {
            let page = Outcome { m: m.clone(), kind }.page();
            assert!(page.contains(said) && page.contains("probe_success 0\n"), "{page}");
            assert!(!page.contains("phase=") && !page.contains("answer_rrs"), "{page}");
        }
    }
}
