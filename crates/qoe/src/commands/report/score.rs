//! A score in one line: how good it was for a person, and what holds it down.

use model::score::{Band, Limit, Qoe};

use crate::render::units::count;
use crate::render::{Ink, Style};

/// `score 56, fair, limited by failures · available 75.0 % (30.1 to 95.4) · of 4, low confidence`.
pub(super) fn line(score: &Qoe, style: Style) -> String {
    let ink = match score.band {
        Band::Excellent | Band::Good => Ink::Good,
        Band::Fair => Ink::Notice,
        Band::Poor | Band::Bad => Ink::Bad,
    };
    let headline = style.paint(ink, format!("score {:.0}, {}", score.score, score.band.as_str()));
    let limit = score.limited_by.map(|limit| format!(", limited by {}", words(limit)));
    let share = score.availability;
    format!(
        "{headline}{} · available {:.1} % ({:.1} to {:.1}) · {}, confidence {}",
        limit.unwrap_or_default(),
        share.share * 100.0,
        share.low * 100.0,
        share.high * 100.0,
        count(score.n, "sample"),
        score.confidence.as_str(),
    )
}

fn words(limit: Limit) -> &'static str {
    match limit {
        Limit::Failures => "failures",
        Limit::Dns => "waiting for DNS",
        Limit::Tcp => "waiting for TCP",
        Limit::Tls => "waiting for TLS",
        Limit::Ttfb => "waiting for the server",
        Limit::Rest => "waiting, in no stage",
        Limit::LatencyP95 => "the round trip's 95th percentile",
        Limit::Loss => "loss (by resent SYNs)",
        Limit::Throughput => "throughput",
    }
}

#[cfg(test)]
mod tests {
    use model::event::Timings;
    use model::score::Profile;
    use model::window::Window;
    use model::{ClientId, ErrorStage, Event, Micros, SchemaVersion, Target};

    use super::*;

    #[test]
    fn a_score_says_what_it_rests_on() {
        let mut window = Window::default();
        for ttfb in [Some(400), Some(1_200), Some(1_800), None] {
            window.fold(&Event {
                version: SchemaVersion::V1_1,
                id: uuid::Uuid::nil(),
                client: ClientId::trusted("c"),
                target: Target::trusted("https://t.example/"),
                ts_ms: 0,
                failure: ttfb.is_none().then_some(ErrorStage::Tcp),
                timings: Timings {
                    ttfb: ttfb.map(|ms: u64| Micros(ms * 1_000)),
                    ..Timings::default()
                },
                throughput: None,
                troubled: false,
                gap: None,
                beside: None,
            });
        }
        let score = Qoe::of(&window, &Profile::WEB).unwrap();
        let style = Style { colour: false, blocks: true };
        assert_eq!(
            line(&score, style),
            "score 56, fair, limited by failures · available 75.0 % (30.1 to 95.4) · 4 samples, \
             confidence low"
        );
    }
}
