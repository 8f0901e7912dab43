//! CRI-O's API from a stand-in: Debian has no CRI-O. A thread of the test listens on a Unix socket and answers as
//! CRI-O's documentation says, closing each connection.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;

use super::*;

const CONTAINER: &str = r#"{"name":"k8s_app_cart-0_shop_1_0","pid":77,"image":"quay.io/shop:1",
"labels":{"io.kubernetes.pod.name":"cart-0","io.kubernetes.pod.namespace":"shop"},
"log_path":"/var/log/pods/p/app/0.log","crio_annotations":{"io.kubernetes.cri-o.Volumes":
"[{\"container_path\":\"/data\",\"host_path\":\"/mnt/pvc-1\",\"readonly\":false}]"}}"#;

fn stand_in(listener: &UnixListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let mut header = String::new();
        while reader.read_line(&mut header).unwrap() > 2 {
            header.clear();
        }
        let (status, body) = match line.split(' ').nth(1) {
            Some("/info") => ("200 OK", "{}"),
            Some("/containers/abc") => ("200 OK", CONTAINER),
            Some("/containers/broken") => ("500 Internal Server Error", "can't find the spec"),
            Some("/containers/odd") => ("200 OK", "[]"),
            Some("/containers/hung") => {
                std::mem::forget(stream);
                continue;
            }
            _ => ("404 Not Found", "can't find the container"),
        };
        let _ = write!(stream, "HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{body}");
    }
}

#[test]
fn crio_tells_of_a_container_and_its_troubles_with_one_are_that_ones_only() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("crio.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || stand_in(&listener));
    let source = source(Runtime::Crio, &socket);
    let row = found(&source, "/x", "abc");
    assert_eq!((row.metadata, row.runtime.as_str()), (MetadataStatus::Found, "crio"));
    assert_eq!(row.labels.get("io.kubernetes.pod.name").map(String::as_str), Some("cart-0"));
    assert_eq!(row.mounts.unwrap().get("/data").map(String::as_str), Some("/mnt/pvc-1"));
    assert_eq!(row.log_format.as_deref(), Some("cri"));
    assert_eq!(found(&source, "/x", "unknown").metadata, MetadataStatus::NotFound);
    for (id, reason) in [("broken", "HTTP status 500: can't find the spec"), ("hung", HUNG)] {
        source.request(request("/x", id));
        assert_eq!(next_state(&source), (ProbeState::Failed, Some(reason.to_owned())));
        assert_eq!(next_row(&source).metadata, MetadataStatus::Unreachable);
        assert_eq!(found(&source, "/x", "abc").metadata, MetadataStatus::Found);
    }
}
