//! The metadata services are stand-ins on the loopback interface: there is no cloud in a test. Their paths, headers
//! and answers are those that the providers document.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aftertrace_schemas::Kind;

use super::*;

/// What a service does with a request: method, path and one header that must be there; the answer.
type Route = (&'static str, &'static str, &'static str, &'static str);

/// How a service behaves that does not answer as it should.
#[derive(Clone, Copy)]
enum Fault {
    Hangs,
    Closes,
    SaysEverything(&'static str),
}

/// A metadata service on the loopback interface.
struct StandIn {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
    /// Connections of a service that hangs.
    _held: Arc<Mutex<Vec<TcpStream>>>,
}

impl StandIn {
    fn start(routes: &'static [Route], fault: Option<Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (asked, held) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (asked_here, held_here) = (Arc::clone(&asked), Arc::clone(&held));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                match fault {
                    Some(Fault::Hangs) => held_here.lock().unwrap().push(stream),
                    Some(Fault::Closes) => drop(stream),
                    Some(Fault::SaysEverything(text)) => answer(stream, &asked_here, |_, _| Some(text)),
                    None => answer(stream, &asked_here, |request, headers| {
                        let fits = |(method, path, header, _): &&Route| {
                            request == format!("{method} {path}") && headers.contains(*header)
                        };
                        routes.iter().find(fits).map(|route| route.3)
                    }),
                }
            }
        });
        Self { base, asked, _held: held }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers one request.
fn answer(
    mut stream: TcpStream,
    asked: &Mutex<Vec<String>>,
    text: impl Fn(&str, &str) -> Option<&'static str>,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let request = first.rsplit_once(' ').unwrap().0.to_owned();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let headers = format!("\n{}\n", headers.join("\n").to_lowercase());
    asked.lock().unwrap().push(request.clone());
    let (status, body) = match text(&request, &headers) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", "<html>no such thing</html>"),
    };
    let length = body.len();
    let _ =
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
}

/// A host whose firmware says this.
fn host(file: &str, text: &str) -> tempfile::TempDir {
    let host = tempfile::tempdir().unwrap();
    let directory = host.path().join("sys/class/dmi/id");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(file), text).unwrap();
    host
}

/// A source with the folder of the host that it reads.
struct OnHost {
    source: CloudSource,
    _host: tempfile::TempDir,
}

/// The source of such a host, with a service on the loopback interface.
fn source(file: &str, text: &str, service: &StandIn, patience: Patience) -> OnHost {
    let host = host(file, text);
    let mut source = CloudSource::new(Roots::below(host.path()), CloudOverrides::default())
        .with_service(service.base.clone());
    source.patience = patience;
    OnHost { source, _host: host }
}

const IMPATIENT: Patience =
    Patience { request: Duration::from_millis(200), round: Duration::from_millis(400) };

fn round(on_host: &mut OnHost) -> (Vec<CloudInstance>, Result<(), Unavailable>) {
    let mut rows = Rows::default();
    let outcome = on_host.source.measure(&Subjects::default(), &mut rows);
    let row = |(_, row): (u64, Kind)| match row {
        Kind::CloudInstance(row) => Some(row),
        _ => None,
    };
    (rows.into_inner().into_iter().filter_map(row).collect(), outcome)
}

/// The columns of the one row that a service leads to.
fn row_of(file: &str, text: &str, routes: &'static [Route]) -> [String; 10] {
    let service = StandIn::start(routes, None);
    let mut source = source(file, text, &service, PATIENCE);
    let (mut rows, outcome) = round(&mut source);
    assert_eq!((rows.len(), outcome), (1, Ok(())));
    let row = rows.remove(0);
    [
        row.provider,
        row.account_id,
        row.instance_id,
        row.instance_type,
        row.instance_life_cycle,
        row.region,
        row.availability_zone,
        row.availability_zone_id,
        row.local_ipv4,
        row.public_ipv4,
    ]
}

const AWS_TOKEN: &str = "\nx-aws-ec2-metadata-token: t0ken\n";
const AWS: &[Route] = &[
    ("PUT", "/latest/api/token", "x-aws-ec2-metadata-token-ttl-seconds: ", "t0ken"),
    (
        "GET",
        "/latest/meta-data/identity-credentials/ec2/info",
        AWS_TOKEN,
        r#"{"Code":"Success","AccountId":"123456789012"}"#,
    ),
    ("GET", "/latest/meta-data/instance-id", AWS_TOKEN, "i-0abc"),
    ("GET", "/latest/meta-data/instance-type", AWS_TOKEN, "m7g.large"),
    ("GET", "/latest/meta-data/instance-life-cycle", AWS_TOKEN, "spot"),
    ("GET", "/latest/meta-data/placement/region", AWS_TOKEN, "eu-central-1"),
    ("GET", "/latest/meta-data/placement/availability-zone", AWS_TOKEN, "eu-central-1b"),
    ("GET", "/latest/meta-data/placement/availability-zone-id", AWS_TOKEN, "euc1-az3"),
    ("GET", "/latest/meta-data/local-ipv4", AWS_TOKEN, "10.0.0.4\n"),
];

#[test]
fn aws_is_asked_with_a_token_and_may_have_no_public_address() {
    let expected = [
        "AWS",
        "123456789012",
        "i-0abc",
        "m7g.large",
        "spot",
        "eu-central-1",
        "eu-central-1b",
        "euc1-az3",
        "10.0.0.4",
        "",
    ];
    assert_eq!(row_of("board_vendor", "Amazon EC2\n", AWS), expected);
}

#[test]
fn gcp_is_asked_for_single_values() {
    const FLAVOR: &str = "\nmetadata-flavor: google\n";
    const ROUTES: &[Route] = &[
        ("GET", "/computeMetadata/v1/project/project-id", FLAVOR, "shop-prod"),
        ("GET", "/computeMetadata/v1/instance/id", FLAVOR, "42"),
        ("GET", "/computeMetadata/v1/instance/machine-type", FLAVOR, "projects/9/machineTypes/e2-small"),
        ("GET", "/computeMetadata/v1/instance/zone", FLAVOR, "projects/9/zones/us-central1-a"),
        ("GET", "/computeMetadata/v1/instance/scheduling/preemptible", FLAVOR, "FALSE"),
        ("GET", "/computeMetadata/v1/instance/network-interfaces/0/ip", FLAVOR, "10.128.0.2"),
        (
            "GET",
            "/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip",
            FLAVOR,
            "203.0.113.7",
        ),
    ];
    let expected = [
        "GCP",
        "shop-prod",
        "42",
        "e2-small",
        "on-demand",
        "us-central1",
        "us-central1-a",
        "",
        "10.128.0.2",
        "203.0.113.7",
    ];
    assert_eq!(row_of("board_vendor", "Google", ROUTES), expected);
}

#[test]
fn azure_gives_one_document() {
    const ROUTES: &[Route] = &[(
        "GET",
        "/metadata/instance?format=json&api-version=2021-05-01",
        "\nmetadata: true\n",
        r#"{"compute":{"location":"westeurope","priority":"Spot","subscriptionId":"sub","vmId":"vm",
            "vmSize":"Standard_D2s_v3","zone":"1","customData":"secret"},
            "network":{"interface":[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.0.0.5","publicIpAddress":""}]}}]}}"#,
    )];
    let expected = ["Azure", "sub", "vm", "Standard_D2s_v3", "spot", "westeurope", "1", "", "10.0.0.5", ""];
    assert_eq!(row_of("board_vendor", "Microsoft Corporation", ROUTES), expected);
}

#[test]
fn hetzner_and_digitalocean_have_a_path_a_value() {
    const HETZNER: &[Route] = &[
        ("GET", "/hetzner/v1/metadata/instance-id", "", "4711"),
        ("GET", "/hetzner/v1/metadata/region", "", "eu-central"),
        ("GET", "/hetzner/v1/metadata/availability-zone", "", "fsn1-dc14"),
        ("GET", "/hetzner/v1/metadata/local-ipv4", "", ""),
        ("GET", "/hetzner/v1/metadata/public-ipv4", "", "203.0.113.9"),
    ];
    let expected = ["Hetzner", "", "4711", "", "", "eu-central", "fsn1-dc14", "", "", "203.0.113.9"];
    assert_eq!(row_of("sys_vendor", "Hetzner", HETZNER), expected);
    const DIGITAL_OCEAN: &[Route] = &[
        ("GET", "/metadata/v1/id", "", "99"),
        ("GET", "/metadata/v1/region", "", "nyc3"),
        ("GET", "/metadata/v1/interfaces/private/0/ipv4/address", "", "10.1.1.1"),
        ("GET", "/metadata/v1/interfaces/public/0/ipv4/address", "", "203.0.113.3"),
    ];
    let expected = ["DigitalOcean", "", "99", "", "", "nyc3", "nyc3", "", "10.1.1.1", "203.0.113.3"];
    assert_eq!(row_of("board_vendor", "DigitalOcean", DIGITAL_OCEAN), expected);
}

#[test]
fn alibaba_is_asked_with_a_token_where_it_gives_one() {
    const TOKEN: &str = "\nx-aliyun-ecs-metadata-token: t0ken\n";
    const ROUTES: &[Route] = &[
        ("PUT", "/latest/api/token", "x-aliyun-ecs-metadata-token-ttl-seconds: ", "t0ken"),
        ("GET", "/latest/meta-data/owner-account-id", TOKEN, "1234"),
        ("GET", "/latest/meta-data/instance-id", TOKEN, "i-bp1"),
        ("GET", "/latest/meta-data/instance/instance-type", TOKEN, "ecs.g7.large"),
        ("GET", "/latest/meta-data/region-id", TOKEN, "cn-hangzhou"),
        ("GET", "/latest/meta-data/zone-id", TOKEN, "cn-hangzhou-i"),
        ("GET", "/latest/meta-data/private-ipv4", TOKEN, "172.16.0.1"),
    ];
    let expected = [
        "Alibaba",
        "1234",
        "i-bp1",
        "ecs.g7.large",
        "",
        "cn-hangzhou",
        "cn-hangzhou-i",
        "",
        "172.16.0.1",
        "",
    ];
    assert_eq!(row_of("sys_vendor", "Alibaba Cloud", ROUTES), expected);
    const WITHOUT: &[Route] = &[("GET", "/latest/meta-data/instance-id", "", "i-bp2")];
    assert_eq!(row_of("sys_vendor", "Alibaba Cloud", WITHOUT)[2], "i-bp2");
}

#[test]
fn scaleway_gives_lines() {
    const ROUTES: &[Route] = &[(
        "GET",
        "/conf",
        "",
        "ID=0f2a\nCOMMERCIAL_TYPE=DEV1-S\nORGANIZATION='org'\nPRIVATE_IP=10.2.2.2\n\
         PUBLIC_IP_ADDRESS=203.0.113.4\nZONE=fr-par-1\nSSH_PUBLIC_KEYS_0_KEY=ssh-rsa AAAA=b\n",
    )];
    let expected =
        ["Scaleway", "org", "0f2a", "DEV1-S", "", "fr-par", "fr-par-1", "", "10.2.2.2", "203.0.113.4"];
    assert_eq!(row_of("sys_vendor", "Scaleway", ROUTES), expected);
}

#[test]
fn ibm_is_asked_with_a_bearer_token() {
    const ROUTES: &[Route] = &[
        (
            "PUT",
            "/instance_identity/v1/token?version=2022-03-01",
            "\nmetadata-flavor: ibm\n",
            r#"{"access_token":"ey","expires_in":300}"#,
        ),
        (
            "GET",
            "/metadata/v1/instance?version=2022-03-01",
            "\nauthorization: bearer ey\n",
            r#"{"id":"0717_1","crn":"crn:v1:bluemix:public:is:us-south-1:a/acc::instance:0717_1",
                "profile":{"name":"bx2-2x8"},"zone":{"name":"us-south-1"},
                "primary_network_interface":{"primary_ip":{"address":"10.3.3.3"}}}"#,
        ),
    ];
    let expected = ["IBM", "acc", "0717_1", "bx2-2x8", "", "us-south", "us-south-1", "", "10.3.3.3", ""];
    assert_eq!(row_of("chassis_vendor", "IBM:Cloud Compute Server 1.0", ROUTES), expected);
}

#[test]
fn oracle_numbers_its_zones() {
    const BEARER: &str = "\nauthorization: bearer oracle\n";
    const ROUTES: &[Route] = &[
        (
            "GET",
            "/opc/v2/instance/",
            BEARER,
            r#"{"availabilityDomain":"Uocm:PHX-AD-2","canonicalRegionName":"us-phoenix-1","id":"ocid1.instance",
                "shape":"VM.Standard.E4.Flex","tenantId":"ocid1.tenancy","metadata":{"user_data":"secret"}}"#,
        ),
        ("GET", "/opc/v2/vnics/", BEARER, r#"[{"privateIp":"10.4.4.4"}]"#),
    ];
    let expected = [
        "Oracle",
        "ocid1.tenancy",
        "ocid1.instance",
        "VM.Standard.E4.Flex",
        "",
        "us-phoenix-1",
        "us-phoenix-1-ad-2",
        "",
        "10.4.4.4",
        "",
    ];
    assert_eq!(row_of("chassis_asset_tag", "OracleCloud.com", ROUTES), expected);
}

#[test]
fn a_service_is_asked_only_when_the_firmware_names_its_provider() {
    let service = StandIn::start(AWS, None);
    let mut source = source("sys_vendor", "QEMU", &service, IMPATIENT);
    let (rows, outcome) = round(&mut source);
    assert!(
        rows.is_empty()
            && outcome.is_err_and(|outcome| outcome.state == aftertrace_schemas::tables::ProbeState::Off)
    );
    source.source.overrides.provider = Some("OpenStack".to_owned());
    source.source.overrides.region = Some("cellar".to_owned());
    let (rows, outcome) = round(&mut source);
    assert_eq!(outcome, Ok(()));
    assert_eq!((rows[0].provider.as_str(), rows[0].region.as_str()), ("OpenStack", "cellar"));
    assert!(service.asked().is_empty());
}

#[test]
fn flags_go_before_what_the_service_says() {
    let service = StandIn::start(AWS, None);
    let mut source = source("board_vendor", "Amazon EC2", &service, PATIENCE);
    source.source.overrides.availability_zone = Some("rack-7".to_owned());
    let (rows, _) = round(&mut source);
    assert_eq!((rows[0].availability_zone.as_str(), rows[0].region.as_str()), ("rack-7", "eu-central-1"));
}

#[test]
fn an_answer_is_told_once_and_not_asked_for_again_soon() {
    let service = StandIn::start(AWS, None);
    let mut source = source("board_vendor", "Amazon EC2", &service, PATIENCE);
    assert_eq!(round(&mut source).0.len(), 1);
    let asked = service.asked().len();
    assert_eq!(round(&mut source), (vec![], Ok(())));
    assert_eq!(service.asked().len(), asked);
}

#[test]
fn a_service_that_hangs_refuses_or_talks_nonsense_leaves_the_providers_name() {
    for fault in [
        Fault::Hangs,
        Fault::Closes,
        Fault::SaysEverything("<html>\u{0}login first</html>"),
        Fault::SaysEverything(""),
    ] {
        for (file, vendor, name) in [
            ("board_vendor", "Amazon EC2", "AWS"),
            ("board_vendor", "Google", "GCP"),
            ("board_vendor", "Microsoft Corporation", "Azure"),
            ("sys_vendor", "Hetzner", "Hetzner"),
            ("board_vendor", "DigitalOcean", "DigitalOcean"),
            ("sys_vendor", "Alibaba Cloud", "Alibaba"),
            ("sys_vendor", "Scaleway", "Scaleway"),
            ("chassis_vendor", "IBM:Cloud Compute Server", "IBM"),
            ("chassis_asset_tag", "OracleCloud.com", "Oracle"),
        ] {
            let service = StandIn::start(&[], Some(fault));
            let mut source = source(file, vendor, &service, IMPATIENT);
            let (rows, outcome) = round(&mut source);
            assert_eq!(rows, [CloudInstance { provider: name.to_owned(), ..providers::nothing() }]);
            if matches!(fault, Fault::Hangs | Fault::Closes) {
                assert!(outcome.is_err_and(|outcome| outcome.reason.contains(name)), "{name}");
            }
        }
    }
}

#[test]
fn a_token_that_cannot_be_had_is_said() {
    let service = StandIn::start(&[], None);
    let mut source = source("board_vendor", "Amazon EC2", &service, IMPATIENT);
    let (rows, outcome) = round(&mut source);
    assert_eq!(rows[0].provider, "AWS");
    assert_eq!(
        outcome.unwrap_err().reason,
        "the metadata service of AWS does not answer: /latest/api/token: status 404"
    );
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'a'; 4096]).is_ok() {}
        }
    });
    let service = Service::new(&base, Duration::from_secs(20), Duration::from_secs(20));
    assert!(service.get("/conf", &[]).is_err());
}

#[test]
fn failures_are_tried_again_ever_more_seldom() {
    let now = Instant::now();
    let mut schedule = Schedule::default();
    assert!(schedule.is_due(now));
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        schedule.asked(now, false);
        let next = now + Duration::from_secs(minutes * 60);
        assert!(schedule.is_due(next) && !schedule.is_due(next - Duration::from_nanos(1)), "{minutes}");
    }
    schedule.asked(now, true);
    assert!(!schedule.is_due(now + Duration::from_secs(3599)) && schedule.is_due(now + ASK_AGAIN));
}
