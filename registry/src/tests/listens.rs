use aftertrace_schemas::tables::*;

use crate::test_support::*;

const UNIT: &str = "/system.slice/shop.service";

/// Address and value of each row, as they stand in the text.
fn rows(scenario: &Scenario) -> Vec<String> {
    let text = scenario.text();
    let of_listens = text.lines().filter(|line| line.starts_with("container_net_tcp_listen_info{"));
    of_listens
        .map(|line| {
            let address = line.split("listen_addr=\"").nth(1).unwrap().split('"').next().unwrap();
            format!("{address} {}", line.rsplit(' ').next().unwrap())
        })
        .collect()
}

fn listening(local: (&str, u16)) -> Scenario {
    let mut scenario = Scenario::new();
    scenario.start(100, UNIT);
    scenario.listen(1, 100, local);
    scenario
}

#[test]
fn an_address_is_one_while_listened_on_then_zero_for_ten_minutes() {
    let mut scenario = listening(("10.0.0.9", 80));
    assert_eq!(rows(&scenario), ["10.0.0.9:80 1"]);
    scenario.tcp(TcpEventKind::ListenClose, 1, 100, ("10.0.0.9", 80));
    assert_eq!(rows(&scenario), ["10.0.0.9:80 0"]);
    scenario.pass(620);
    scenario.mark();
    assert!(rows(&scenario).is_empty());
}

#[test]
fn an_address_with_several_sockets_is_open_until_the_last_closes() {
    let mut scenario = listening(("10.0.0.9", 80));
    scenario.listen(2, 100, ("10.0.0.9", 80));
    scenario.tcp(TcpEventKind::ListenClose, 1, 100, ("10.0.0.9", 80));
    scenario.tcp(TcpEventKind::ListenClose, 1, 100, ("10.0.0.9", 80));
    assert_eq!(rows(&scenario), ["10.0.0.9:80 1"]);
    scenario.tcp(TcpEventKind::ListenClose, 2, 100, ("10.0.0.9", 80));
    assert_eq!(rows(&scenario), ["10.0.0.9:80 0"]);
}

#[test]
fn any_address_stands_for_those_of_the_network_namespace() {
    let mut scenario = listening(("0.0.0.0", 80));
    assert_eq!(rows(&scenario), ["0.0.0.0:80 1"]);
    let addresses = ["127.0.0.1", "172.17.0.2", "2001:db8::2"].map(str::to_owned).to_vec();
    scenario.apply(NetworkNamespace { network_namespace: WEB_NAMESPACE, addresses });
    assert_eq!(rows(&scenario), ["127.0.0.1:80 1", "172.17.0.2:80 1"]);
    scenario.listen(2, 100, ("::", 81));
    assert_eq!(
        rows(&scenario),
        ["127.0.0.1:80 1", "127.0.0.1:81 1", "172.17.0.2:80 1", "172.17.0.2:81 1", "[2001:db8::2]:81 1"]
    );
}

#[test]
fn sockets_that_listened_before_the_recording_are_shown() {
    let mut scenario = Scenario::new();
    scenario.snapshot(100, UNIT);
    scenario.apply(socket(SocketKind::Listen, 1, 100, None));
    assert_eq!(rows(&scenario), ["10.0.0.9:80 1"]);
    scenario.tcp(TcpEventKind::ListenClose, 1, 100, ("10.0.0.9", 80));
    assert_eq!(rows(&scenario), ["10.0.0.9:80 0"]);
}

fn published(runtime: &str, bindings: &[&str]) -> ContainerSnapshot {
    ContainerSnapshot {
        runtime: runtime.to_owned(),
        port_bindings: Some(bindings.iter().map(|binding| (*binding).to_owned()).collect()),
        ..metadata(WEB, "web")
    }
}

#[test]
fn ports_that_docker_publishes_are_addresses_of_the_host_while_the_container_lives() {
    let mut scenario = Scenario::new();
    scenario.apply(published("docker", &["0.0.0.0:8080", "[::]:8080", "10.0.0.1:9000", "nonsense"]));
    scenario.start(100, WEB);
    let addresses = ["127.0.0.1", "192.0.2.7", "2001:db8::7"].map(str::to_owned).to_vec();
    scenario.apply(NetworkNamespace { network_namespace: HOST_NAMESPACE, addresses });
    assert_eq!(
        rows(&scenario),
        ["10.0.0.1:9000 1", "127.0.0.1:8080 1", "192.0.2.7:8080 1", "[2001:db8::7]:8080 1"]
    );
    let proxied = [("listen_addr", "192.0.2.7:8080"), ("proxy", "dockerd")];
    assert_eq!(scenario.value("container_net_tcp_listen_info", &proxied), Some(1.0));
    scenario.exit(100, None);
    assert_eq!(scenario.value("container_net_tcp_listen_info", &proxied), Some(0.0));
    // Started again with other ports.
    scenario.apply(published("docker", &["127.0.0.1:8081"]));
    scenario.start(101, WEB);
    assert_eq!(rows(&scenario), ["127.0.0.1:8081 1"]);
}

#[test]
fn ports_that_podman_publishes_are_not_dockers() {
    let mut scenario = Scenario::new();
    scenario.apply(published("podman", &["127.0.0.1:8080"]));
    scenario.start(100, WEB);
    let proxied = [("listen_addr", "127.0.0.1:8080"), ("proxy", "podman")];
    assert_eq!(scenario.value("container_net_tcp_listen_info", &proxied), Some(1.0));
}
