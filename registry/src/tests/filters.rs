use crate::Config;
use crate::test_support::*;

const SHOP: &str = "/system.slice/shop.service";
const BANK: &str = "/system.slice/bank.service";

fn filtered(allow: &[&str], deny: &[&str]) -> Scenario {
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let mut scenario = Scenario::with(Config {
        container_allowlist: patterns(allow),
        container_denylist: patterns(deny),
        ..Config::default()
    });
    scenario.start(100, SHOP);
    scenario.start(101, BANK);
    scenario
}

fn shown(scenario: &Scenario) -> Vec<String> {
    scenario.registry.containers().iter().map(|container| container.id.to_string()).collect()
}

#[test]
fn without_lists_all_containers_are_shown() {
    assert_eq!(shown(&filtered(&[], &[])), [BANK, SHOP]);
}

#[test]
fn only_containers_on_the_allow_list_are_shown() {
    let scenario = filtered(&["^/system.slice/s", "nothing"], &[]);
    assert_eq!(shown(&scenario), [SHOP]);
    assert!(!scenario.text().contains(BANK));
}

#[test]
fn containers_on_the_deny_list_are_not_shown_whatever_the_allow_list_says() {
    assert_eq!(shown(&filtered(&[], &["bank"])), [SHOP]);
    assert_eq!(shown(&filtered(&["slice"], &["bank"])), [SHOP]);
}

#[test]
fn findings_of_a_container_that_is_not_shown_are_not_shown() {
    let mut scenario = filtered(&[], &["bank"]);
    scenario.exit(101, Some(11));
    scenario.exit(100, Some(11));
    assert_eq!(scenario.lines(), ["/system.slice/shop.service: server crashed with SIGSEGV"]);
    scenario.pass(1_000);
    scenario.mark();
    assert!(shown(&scenario).is_empty());
    assert_eq!(scenario.lines(), ["/system.slice/shop.service: server crashed with SIGSEGV"]);
}

#[test]
fn the_name_that_a_runtime_gives_decides_and_what_came_before_it_counts() {
    let mut scenario = filtered(&["^/docker/web$"], &[]);
    scenario.start(102, WEB);
    scenario.connect(1, 102, ("10.0.0.5", 80));
    assert!(shown(&scenario).is_empty(), "its id is provisional");
    scenario.name(WEB, "web");
    assert_eq!(shown(&scenario), ["/docker/web"]);
    assert_eq!(scenario.of("/docker/web", "container_net_tcp_successful_connects_total"), Some(1.0));
}

#[test]
fn a_pattern_that_is_none_is_an_error_with_its_reason() {
    let error = "(".parse::<crate::Pattern>().unwrap_err();
    assert!(error.to_string().contains("unclosed group"), "{error}");
}
