//! What rows are made of answers, and that no answer makes it panic.

use std::collections::BTreeMap;

use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus};
use proptest::prelude::*;
use prost::Message;

use super::super::containerd::{Any, Container, GetContainerResponse};
use super::super::{Runtime, RuntimeRequest, containerd, crio, engine};

fn request() -> RuntimeRequest {
    RuntimeRequest { cgroup: "/kubepods/x".to_owned(), id: "abc".to_owned() }
}

fn json(text: &str) -> Any {
    Any { type_url: "some.type".to_owned(), value: text.as_bytes().to_vec() }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_container_of_kubernetes_in_containerd_has_labels_volumes_and_a_log() {
    let spec = r#"{"process":{"env":["A=b","NOMAD_JOB_NAME=shop"]},"annotations":{"io.kubernetes.cri.image-name":"shop:1"},
        "mounts":[{"destination":"/proc","type":"proc","source":"proc"},
        {"destination":"/data","type":"bind","source":"/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pvc-1/mount"}]}"#;
    for key in ["io.cri-containerd.container.metadata", "io.containerd.cri.container.metadata"] {
        let record =
            json(r#"{"Version":"v1","Metadata":{"ID":"abc","LogPath":"/var/log/pods/p/app/0.log"}}"#);
        let container = Container {
            labels: map(&[("io.kubernetes.pod.name", "cart-0")]),
            image: "sha256:12".to_owned(),
            spec: Some(json(spec)),
            extensions: BTreeMap::from([(key.to_owned(), record)]),
        };
        let row = containerd::found(&request(), &container);
        assert_eq!(
            row,
            ContainerSnapshot {
                cgroup: "/kubepods/x".to_owned(),
                runtime: "containerd".to_owned(),
                runtime_id: "abc".to_owned(),
                metadata: MetadataStatus::Found,
                name: None,
                image: Some("shop:1".to_owned()),
                labels: map(&[("io.kubernetes.pod.name", "cart-0")]),
                environment: map(&[("NOMAD_JOB_NAME", "shop")]),
                log_path: Some("/var/log/pods/p/app/0.log".to_owned()),
                pid: None,
                log_format: Some("cri".to_owned()),
                mounts: Some(map(&[(
                    "/data",
                    "/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pvc-1/mount"
                )])),
                port_bindings: None,
                networks: None,
            }
        );
    }
}

#[test]
fn what_cannot_be_read_of_a_container_is_left_out() {
    let container =
        Container { spec: Some(json("not JSON")), image: "i:1".to_owned(), ..Container::default() };
    let row = containerd::found(&request(), &container);
    assert_eq!((row.image.as_deref(), row.log_path, row.mounts), (Some("i:1"), None, Some(BTreeMap::new())));
    let volumes = r#"{"name":"n","crio_annotations":{"io.kubernetes.cri-o.Volumes":"wrong"}}"#;
    let row = crio::found(&request(), volumes.as_bytes()).unwrap();
    assert_eq!((row.name.as_deref(), row.mounts), (Some("n"), Some(BTreeMap::new())));
}

#[test]
fn a_container_of_crio_has_labels_volumes_and_a_log() {
    let body = r#"{"name":"k8s_app_cart-0_shop_1_0","pid":77,"image":"quay.io/shop:1","image_ref":"x",
        "labels":{"io.kubernetes.pod.name":"cart-0"},"log_path":"/var/log/pods/p/app/0.log",
        "crio_annotations":{"io.kubernetes.cri-o.Volumes":"[{\"container_path\":\"/data\",\"host_path\":\"/mnt/pvc-1\",\"readonly\":false}]"}}"#;
    let row = crio::found(&request(), body.as_bytes()).unwrap();
    assert_eq!(
        (row.runtime.as_str(), row.pid, row.image.as_deref()),
        ("crio", Some(77), Some("quay.io/shop:1"))
    );
    assert_eq!(row.labels, map(&[("io.kubernetes.pod.name", "cart-0")]));
    assert_eq!(
        (row.log_path.as_deref(), row.log_format.as_deref()),
        (Some("/var/log/pods/p/app/0.log"), Some("cri"))
    );
    assert_eq!(row.mounts, Some(map(&[("/data", "/mnt/pvc-1")])));
}

#[test]
fn an_answer_over_http_is_split_into_status_and_body() {
    assert_eq!(crio::split(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"), Some((200, b"{}".to_vec())));
    assert_eq!(crio::split(b"HTTP/1.1 404\r\n\r\n"), Some((404, Vec::new())));
    for wrong in
        [&b"HTTP/1.0 200 OK\r\n"[..], b"", b"200 OK\r\n\r\n", b"HTTP/2 x\r\n\r\n", b"HTTP/1.0 many\r\n\r\n"]
    {
        assert_eq!(crio::split(wrong), None);
    }
}

/// Text that looks like what runtimes answer, so that more than the first bracket is read.
fn json_text() -> impl Strategy<Value = String> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "1",
        "-1",
        "99999999999999999999",
        "\"mounts\"",
        "\"process\"",
        "\"env\"",
        "\"labels\"",
        "\"pid\"",
        "\"State\"",
        "\"Pid\"",
        "\"NetworkSettings\"",
        "\"Ports\"",
        "\"80/tcp\"",
        "\"HostPort\"",
        "\"Config\"",
        "\"crio_annotations\"",
        "\"\\u0000\"",
    ];
    let word = prop_oneof![4 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), json_text().prop_map(String::into_bytes)]
}

proptest! {
    #[test]
    fn no_bytes_of_containerd_make_it_panic(bytes in bytes(), spec in bytes(), record in bytes()) {
        if let Ok(answer) = GetContainerResponse::decode(bytes.as_slice()) {
            containerd::found(&request(), &answer.container.unwrap_or_default());
        }
        let any = |value| Any { type_url: String::new(), value };
        let extensions = BTreeMap::from([("io.cri-containerd.container.metadata".to_owned(), any(record))]);
        containerd::found(&request(), &Container { spec: Some(any(spec)), extensions, ..Container::default() });
    }

    #[test]
    fn no_bytes_of_crio_make_it_panic(bytes in bytes(), volumes in any::<String>()) {
        if let Some((_, body)) = crio::split(&bytes) {
            let _ = crio::found(&request(), &body);
        }
        let _ = crio::found(&request(), &bytes);
        let annotations = serde_json::json!({ "crio_annotations": { "io.kubernetes.cri-o.Volumes": volumes } });
        let _ = crio::found(&request(), annotations.to_string().as_bytes());
    }

    #[test]
    fn no_bytes_of_docker_make_it_panic(bytes in bytes(), ip in any::<String>(), port in any::<String>()) {
        if let Ok(answer) = serde_json::from_slice(&bytes) {
            engine::found(Runtime::Docker, &request(), answer);
        }
        let bindings = serde_json::json!({ "80/tcp": [{ "HostIp": ip, "HostPort": port }] });
        let answer = serde_json::json!({ "NetworkSettings": { "Ports": bindings } });
        engine::found(Runtime::Podman, &request(), serde_json::from_value(answer).unwrap());
    }
}
