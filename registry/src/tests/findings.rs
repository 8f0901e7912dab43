use aftertrace_schemas::tables::*;

use crate::FindingKind;
use crate::test_support::*;

const UNIT: &str = "/system.slice/shop.service";

fn troubled() -> Scenario {
    let mut scenario = Scenario::new();
    for pid in 100..110 {
        scenario.start(pid, UNIT);
    }
    scenario.connect(1, 100, ("10.0.0.5", 5432));
    scenario.tcp(TcpEventKind::Retransmit, 1, 100, ("10.0.0.5", 5432));
    for id in 2..5 {
        let row = tcp(TcpEventKind::ConnectError, id, 100, ("10.0.0.6", 6379));
        scenario.apply(TcpEvent { errno: Some(111), ..row });
    }
    scenario.oom_victim(101);
    scenario.exit(101, Some(9));
    scenario.exit(102, Some(11));
    scenario.exit(103, Some(11));
    scenario.exit(104, Some(9));
    scenario.exit(105, Some(15));
    scenario.lose("kernel/tcp", "ring_full", 12);
    for pid in [100, 106, 107, 108, 109] {
        scenario.exit(pid, None);
    }
    scenario.start(110, UNIT);
    scenario
}

#[test]
fn findings_are_plain_sentences_the_worst_first() {
    assert_eq!(
        troubled().lines(),
        [
            "/system.slice/shop.service: server killed by the OOM killer",
            "/system.slice/shop.service: server crashed with SIGSEGV 2 times",
            "/system.slice/shop.service: restarted",
            "/system.slice/shop.service: 3 connects to 10.0.0.6:6379 failed (connection refused)",
            "12 observations lost by kernel/tcp (ring full)",
            "/system.slice/shop.service: server killed with SIGKILL",
            "/system.slice/shop.service: 1 TCP segment sent again to 10.0.0.5:5432",
        ]
    );
}

#[test]
fn findings_outlive_their_container() {
    let mut scenario = troubled();
    scenario.close(1);
    let before = scenario.lines();
    scenario.exit(110, None);
    scenario.pass(2_000);
    scenario.mark();
    assert!(scenario.registry.containers().is_empty());
    assert_eq!(scenario.lines(), before);
}

#[test]
fn a_finding_tells_when_and_how_often() {
    let scenario = troubled();
    let findings = scenario.registry.findings();
    let failed = findings.iter().find(|finding| finding.kind == FindingKind::FailedConnects).unwrap();
    assert_eq!((failed.count, failed.subject.as_str()), (3, "10.0.0.6:6379"));
    assert_eq!(failed.container.as_deref(), Some(UNIT));
    assert_eq!(failed.last - failed.first, 2_000_000);
}
