//! CRI-O's own API: a page of JSON a container, over HTTP on its socket.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus};
use serde::Deserialize;
use tokio::net::UnixStream;

use super::worker::{Api, Failure};
use super::{Answer, Runtime, RuntimeRequest, row};

/// More than any answer has; the rest of a longer one is not read.
const ANSWER_LIMIT_BYTES: usize = 4 << 20;
/// Its volumes are an annotation of the container, in JSON again.
const VOLUMES: &str = "io.kubernetes.cri-o.Volumes";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    name: Option<String>,
    pid: Option<i64>,
    image: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    crio_annotations: Option<BTreeMap<String, String>>,
    log_path: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Volume {
    container_path: String,
    host_path: String,
}

/// CRI-O.
pub(super) struct Crio;

impl Api for Crio {
    async fn greet(&self, socket: &Path) -> Result<(), Failure> {
        match get(socket, "/info").await? {
            (200, _) => Ok(()),
            (status, _) => Err(Failure::broken(format!("HTTP status {status} for /info"))),
        }
    }

    async fn ask(&self, socket: &Path, request: &RuntimeRequest) -> Result<Option<Answer>, Failure> {
        let (status, body) = get(socket, &format!("/containers/{}", request.id)).await?;
        match status {
            200 => found(request, &body).map(|row| Some(Answer::Container(Box::new(row)))),
            404 => Ok(None),
            _ => {
                let text = String::from_utf8_lossy(&body);
                let line = text.lines().next().unwrap_or_default();
                Err(Failure::of_request(format!("HTTP status {status}: {line}")))
            }
        }
    }
}

/// One request on a connection of its own. By HTTP/1.0, so that the answer ends where the connection does, and comes
/// in one piece.
async fn get(socket: &Path, path: &str) -> Result<(u16, Vec<u8>), Failure> {
    let broken = |error: std::io::Error| Failure::broken(error.to_string());
    let stream = UnixStream::connect(socket).await.map_err(broken)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: crio\r\nConnection: close\r\n\r\n");
    let answer = exchange(&stream, request.as_bytes()).await.map_err(broken)?;
    split(&answer).ok_or_else(|| Failure::broken("the answer is not HTTP"))
}

async fn exchange(stream: &UnixStream, mut request: &[u8]) -> std::io::Result<Vec<u8>> {
    while !request.is_empty() {
        stream.writable().await?;
        match stream.try_write(request) {
            Ok(written) => request = request.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let mut answer = Vec::new();
    while answer.len() < ANSWER_LIMIT_BYTES {
        stream.readable().await?;
        match stream.try_read_buf(&mut answer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// Status and body of an answer.
pub(super) fn split(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let (version, rest) = head.lines().next()?.split_once(' ')?;
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    let status = rest.split(' ').next()?.parse().ok()?;
    Some((status, answer.get(end + 4..)?.to_vec()))
}

/// The row of a container that CRI-O knows.
pub(super) fn found(request: &RuntimeRequest, body: &[u8]) -> Result<ContainerSnapshot, Failure> {
    let info: Info = serde_json::from_slice(body).map_err(|error| Failure::broken(error.to_string()))?;
    let annotations = info.crio_annotations.unwrap_or_default();
    // Volumes that cannot be read are no reason to do without the name.
    let volumes: Option<Vec<Volume>> =
        annotations.get(VOLUMES).and_then(|text| serde_json::from_str(text).ok());
    let pairs = volumes.unwrap_or_default().into_iter();
    let log_path = row::filled(info.log_path);
    Ok(ContainerSnapshot {
        name: row::filled(info.name),
        image: row::filled(info.image),
        labels: info.labels.unwrap_or_default(),
        log_format: log_path.as_ref().map(|_| row::CRI.to_owned()),
        log_path,
        pid: row::pid(info.pid),
        mounts: Some(row::mounts(pairs.map(|volume| (volume.container_path, volume.host_path)))),
        ..row::container(Runtime::Crio, request, MetadataStatus::Found)
    })
}
