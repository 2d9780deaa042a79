//! What a diagnosis ought to call a fault.

use model::ErrorStage;
use model::diagnosis::Label;

use super::FaultKind;

impl FaultKind {
    /// What the classic labels call it. `None` where they have no name for it: a delay under the
    /// stage's floor, a rate above 0.7 of the usual, fewer failures than the half that makes an
    /// outage.
    pub fn label(self) -> Option<Label> {
        let outage = |stage, share: f64| (share >= 0.5).then_some(Label::Outage(stage));
        let above = |floor_ms: f64, add_ms: f64, label| (add_ms >= floor_ms).then_some(label);
        match self {
            Self::DnsDelay { add_ms } => above(15.0, add_ms, Label::DnsBound),
            Self::PathDelay { add_ms } => above(10.0, add_ms, Label::HandshakeBound),
            Self::TlsDelay { add_ms } => above(15.0, add_ms, Label::HandshakeBound),
            Self::ServerDelay { add_ms } => above(30.0, add_ms, Label::ServerBound),
            Self::SynLoss { .. } => Some(Label::HandshakeBound),
            Self::ServerTail { .. } => Some(Label::ServerBound),
            Self::SlowDrip { factor } | Self::RateLimit { factor } => {
                (factor <= 0.7).then_some(Label::ThroughputBound)
            }
            Self::Loss { .. } => Some(Label::ThroughputBound),
            Self::DnsServfail { share } => outage(ErrorStage::Dns, share),
            Self::OutageTcp { share } => outage(ErrorStage::Tcp, share),
            Self::Http5xx { share } => outage(ErrorStage::Http, share),
            Self::Cert => Some(Label::Outage(ErrorStage::Tls)),
            Self::Bufferbloat { .. } => None,
        }
    }

    /// What the whole set of labels calls it. `None` for what is too small to be told: under the
    /// stage's floor, a rate above 0.75 of the usual, failures of less than a quarter.
    pub fn extended_label(self) -> Option<Label> {
        let when = |told: bool, label| told.then_some(label);
        let outage = |stage, share: f64| when(share >= 0.25, Label::Outage(stage));
        match self {
            Self::DnsDelay { add_ms } => when(add_ms >= 15.0, Label::DnsBound),
            Self::PathDelay { add_ms } => when(add_ms >= 10.0, Label::PathDelay),
            Self::TlsDelay { add_ms } => when(add_ms >= 15.0, Label::HandshakeBound),
            Self::ServerDelay { add_ms } => when(add_ms >= 30.0, Label::ServerBound),
            Self::ServerTail { .. } => Some(Label::ServerBound),
            Self::SynLoss { .. } | Self::Loss { .. } => Some(Label::PathLossBound),
            Self::SlowDrip { factor } | Self::RateLimit { factor } => {
                when(factor <= 0.75, Label::ThroughputBound)
            }
            Self::DnsServfail { share } => outage(ErrorStage::Dns, share),
            Self::OutageTcp { share } => outage(ErrorStage::Tcp, share),
            Self::Http5xx { share } => outage(ErrorStage::Http, share),
            Self::Cert => Some(Label::Certificate),
            Self::Bufferbloat { add_ms } => when(add_ms >= 40.0, Label::Bufferbloat),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_a_classic_label_and_one_of_the_whole_set() {
        use FaultKind as K;
        let outage = |stage| Some(Label::Outage(stage));
        let cases = [
            (K::PathDelay { add_ms: 50.0 }, Some(Label::HandshakeBound), Some(Label::PathDelay)),
            (K::SynLoss { share: 0.2 }, Some(Label::HandshakeBound), Some(Label::PathLossBound)),
            (K::Loss { share: 0.02 }, Some(Label::ThroughputBound), Some(Label::PathLossBound)),
            (K::Cert, outage(ErrorStage::Tls), Some(Label::Certificate)),
            (K::Http5xx { share: 0.3 }, None, outage(ErrorStage::Http)),
            (K::Bufferbloat { add_ms: 100.0 }, None, Some(Label::Bufferbloat)),
            (K::Bufferbloat { add_ms: 30.0 }, None, None),
        ];
        for (kind, classic, extended) in cases {
            assert_eq!((kind.label(), kind.extended_label()), (classic, extended), "{kind:?}");
        }
    }
}
