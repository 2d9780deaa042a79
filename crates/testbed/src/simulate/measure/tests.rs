//! A measurement by hand: every draw in the middle, and one thing broken at a time.

use super::*;

const GIVEN: Path = Path::Given(Given {
    dns_ms: Some(2.0),
    tcp_ms: 10.0,
    tls_ms: Some(20.0),
    ttfb_ms: 30.0,
    bps: Some(8e6),
    jitter: 0.0,
});

/// Every normal at its median, every uniform in the middle.
const MIDDLE: Draws = Draws {
    id: [0; 2],
    z_dns: 0.0,
    z_miss: 0.0,
    z_tcp: 0.0,
    z_tls: 0.0,
    z_handshake: 0.0,
    z_ttfb: 0.0,
    z_server: 0.0,
    z_rate: 0.0,
    u_miss: 0.5,
    u_syn: 0.5,
    u_data: 0.5,
    u_spike: [0.5; 3],
    u_slow: 0.5,
    u_tail: 0.5,
    u_tail_ms: 0.5,
    u_fail: [0.5; 5],
    z_idle: 0.0,
    z_loaded: 0.0,
    rough: None,
};

fn under(kinds: &[FaultKind]) -> Sample {
    let mut strain = Strain::default();
    for kind in kinds {
        strain.add(*kind);
    }
    measure(&GIVEN, &Moment::USUAL, &strain, &MIDDLE)
}

fn ms(sample: Sample) -> [Option<u64>; 4] {
    [sample.dns, sample.tcp, sample.tls, sample.ttfb].map(|us| us.map(|us| us / 1000))
}

#[test]
fn without_faults_the_medians_come_out() {
    let sample = under(&[]);
    assert_eq!(ms(sample), [Some(2), Some(10), Some(20), Some(30)]);
    assert_eq!((sample.bps, sample.transfer), (Some(8_000_000), Some(12_000)));
    assert_eq!(sample.total(), Some(74_000));
}

#[test]
fn each_delay_is_felt_in_its_stages_alone() {
    let cases = [
        (FaultKind::DnsDelay { add_ms: 100.0 }, [102, 10, 20, 30]),
        (FaultKind::PathDelay { add_ms: 100.0 }, [2, 110, 120, 130]),
        (FaultKind::TlsDelay { add_ms: 100.0 }, [2, 10, 120, 30]),
        (FaultKind::ServerDelay { add_ms: 100.0 }, [2, 10, 20, 130]),
        (FaultKind::ServerTail { share: 0.6, from_ms: 100.0, to_ms: 300.0 }, [2, 10, 20, 230]),
        (FaultKind::ServerTail { share: 0.4, from_ms: 100.0, to_ms: 300.0 }, [2, 10, 20, 30]),
        // 0.5 is lost once at 0.6, twice at 0.75.
        (FaultKind::SynLoss { share: 0.6 }, [2, 1010, 20, 30]),
        (FaultKind::SynLoss { share: 0.75 }, [2, 3010, 20, 30]),
        (FaultKind::SynLoss { share: 0.4 }, [2, 10, 20, 30]),
    ];
    for (kind, expected) in cases {
        assert_eq!(ms(under(&[kind])), expected.map(Some), "{kind:?}");
    }
}

#[test]
fn a_failure_keeps_the_stages_before_it() {
    use FaultKind as K;
    let cases = [
        (K::DnsServfail { share: 0.6 }, ErrorStage::Dns, "dns.servfail", 0),
        (K::OutageTcp { share: 0.6 }, ErrorStage::Tcp, "tcp.refused", 1),
        (K::SynLoss { share: 0.9 }, ErrorStage::Tcp, "tcp.timed_out", 1),
        (K::Cert, ErrorStage::Tls, "tls.cert.date_invalid", 2),
        (K::Http5xx { share: 0.6 }, ErrorStage::Http, "http.error", 3),
    ];
    for (kind, stage, name, completed) in cases {
        let sample = under(&[kind]);
        assert_eq!(sample.failure, Some((stage, name)));
        assert_eq!(ms(sample).iter().flatten().count(), completed, "{kind:?}");
        assert_eq!((sample.total(), sample.bps), (None, None), "{kind:?}");
    }
    assert_eq!(under(&[K::OutageTcp { share: 0.4 }]).failure, None);
}

#[test]
fn a_slow_body_lowers_the_rate_until_time_runs_out() {
    let rate = |kind| under(&[kind]).bps;
    assert_eq!(rate(FaultKind::SlowDrip { factor: 0.25 }), Some(2_000_000));
    assert_eq!(rate(FaultKind::RateLimit { factor: 0.25 }), Some(2_000_000));
    let both = [FaultKind::SlowDrip { factor: 0.1 }, FaultKind::SlowDrip { factor: 0.1 }];
    let sample = under(&both);
    assert_eq!(sample.failure, Some((ErrorStage::ThroughputTimeout, "body.timed_out")));
    assert_eq!(sample.bps, Some(80_000));
    assert!(sample.total().is_some(), "the timings stand");
}

#[test]
fn bufferbloat_is_felt_under_load_alone() {
    let usual = under(&[]);
    let bloated = under(&[FaultKind::Bufferbloat { add_ms: 200.0 }]);
    assert_eq!(usual.trips, Some([10_000, 10_000, 22_000]));
    assert_eq!(bloated.trips, Some([10_000, 10_000, 222_000]));
    assert_eq!(bloated.total(), usual.total());
    assert_eq!(usual.without_throughput().trips, None);
}

#[test]
fn a_gap_is_waited_for_by_the_timer_of_the_syn() {
    assert_eq!([0.0, 400.0, 1_500.0, 4_999.0].map(until_resent), [0.0, 1e3, 3e3, 7e3]);
}

#[test]
fn loss_lowers_the_rate_by_the_square_root() {
    // 8 flows x 1.22 x 1460 x 8 bit / (10 ms x sqrt(0.04)) = 57 Mbit/s.
    let fast = Given { bps: Some(1e9), ..given() };
    let mut strain = Strain::default();
    strain.add(FaultKind::Loss { share: 0.04 });
    let sample = measure(&Path::Given(fast), &Moment::USUAL, &strain, &MIDDLE);
    assert_eq!(sample.bps, Some(56_998_400));
}

fn given() -> Given {
    match GIVEN {
        Path::Given(given) => given,
        Path::Modelled(_) => unreachable!("given above"),
    }
}
