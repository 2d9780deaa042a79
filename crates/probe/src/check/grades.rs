//! What a line under load is fit for: the class of its RPM, the grade of its queue, AIM's badges. There
//! are none where the line was not loaded: latency at rest says nothing of them.

use std::time::Duration;

use model::score::aim::{Aim, Experience, Inputs};
use model::score::bloat::{self, Grade};
use model::score::rpm;
use serde::Serialize;

use crate::Measurement;
use crate::measurement::ms;

/// Absent is left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Grades {
    #[serde(skip_serializing_if = "Option::is_none")]
    rpm_class: Option<rpm::Class>,
    /// What load adds to the round trip, in the direction that fared worse, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded_increase_ms: Option<f64>,
    /// The grade of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    bufferbloat: Option<Grade>,
    aim: Aim,
}

impl Grades {
    /// `None` where no latency under load was measured.
    pub(super) fn of(m: &Measurement) -> Option<Self> {
        let latency = m.latency.as_ref()?;
        let time = |time: Option<Duration>| time.map(ms);
        let increase = time(latency.idle).zip(time(latency.loaded)).map(|(idle, loaded)| {
            // A queue takes no time away; what seems so is chance.
            (loaded - idle).max(0.0)
        });
        #[expect(clippy::cast_precision_loss, reason = "points are given by coarse bounds")]
        let download_bps = m.throughput.map(|rate| rate.bits_per_second as f64);
        Some(Self {
            rpm_class: latency.rpm.and_then(rpm::Class::of),
            loaded_increase_ms: increase,
            bufferbloat: increase.and_then(bloat::bufferbloat),
            aim: Aim::of(&Inputs {
                latency_ms: time(latency.idle),
                loss_ratio: m.echoes.as_ref().and_then(crate::echo::Echoes::loss),
                jitter_ms: time(latency.jitter),
                download_bps,
                loaded_increase_ms: increase,
            }),
        })
    }

    /// `RPM good   bufferbloat A (+18 ms)   streaming great, gaming good, calls good`; empty where there
    /// is nothing.
    pub(super) fn text(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.rpm_class.map(|class| format!("RPM {}", class.as_str())));
        let grade = self.bufferbloat.zip(self.loaded_increase_ms);
        parts.extend(grade.map(|(grade, added)| format!("bufferbloat {grade} (+{added:.0} ms)")));
        let Aim { streaming, gaming, rtc } = self.aim;
        let badges = [("streaming", streaming), ("gaming", gaming), ("calls", rtc)];
        let badges: Vec<_> =
            badges.into_iter().filter_map(|(name, badge)| badge.map(|b| word(name, b))).collect();
        if !badges.is_empty() {
            parts.push(badges.join(", "));
        }
        parts.join("   ")
    }
}

fn word(name: &str, badge: Experience) -> String {
    format!("{name} {}", badge.class.as_str())
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::{Latency, Throughput};

    fn loaded() -> Measurement {
        let ms = |n| Some(Duration::from_millis(n));
        let mut m = Measurement::started(&Url::parse("https://a.test/x").unwrap(), 0);
        m.throughput = Some(Throughput {
            bits_per_second: 60_000_000,
            low_bits_per_second: None,
            bytes: 1_000_000,
            retransmits: None,
            duration: Duration::from_millis(133),
            complete: true,
        });
        m.latency = Some(Latency {
            idle: ms(25),
            loaded: ms(55),
            beside: false,
            jitter: ms(5),
            rpm: Some(1_200.0),
            terms: None,
            confidence: None,
            bytes: 0,
        });
        m
    }

    #[test]
    fn a_loaded_line_is_graded_by_the_tables() {
        let grades = Grades::of(&loaded()).unwrap();
        assert_eq!(
            grades.text(),
            "RPM good   bufferbloat B (+30 ms)   streaming average, gaming poor, calls average"
        );
        let json = serde_json::to_value(grades).unwrap();
        assert_eq!((&json["rpm_class"], &json["bufferbloat"]), (&"good".into(), &"B".into()));
        assert_eq!(json["aim"]["streaming"]["points"], 30, "5 + 0 + 20 + 5, of unknown loss");
    }

    #[test]
    fn what_was_not_measured_has_no_grade() {
        let mut m = loaded();
        m.throughput = None;
        let json = serde_json::to_value(Grades::of(&m).unwrap()).unwrap();
        assert!(json["aim"].get("streaming").is_none() && json["aim"].get("gaming").is_some());
        let latency = m.latency.as_mut().unwrap();
        (latency.loaded, latency.rpm) = (None, None);
        assert_eq!(Grades::of(&m).unwrap().text(), "");
        m.latency = None;
        assert_eq!(Grades::of(&m), None, "latency at rest alone grades nothing");
    }
}
