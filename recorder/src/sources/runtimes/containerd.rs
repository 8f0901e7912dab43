//! containerd's API: gRPC over its socket. Of its services only the one that reads a container's record is needed, so
//! its messages are written out here.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::Path;

use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus};
use serde::Deserialize;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::worker::{Api, Failure, reason};
use super::{Answer, Runtime, RuntimeRequest, row};

/// In which containerd keeps containers of Kubernetes, of Docker, and of all who ask for none.
const NAMESPACES: [&str; 3] = ["k8s.io", "moby", "default"];
const GET_CONTAINER: &str = "/containerd.services.containers.v1.Containers/Get";
const VERSION: &str = "/containerd.services.version.v1.Version/Version";
/// Where the Kubernetes part keeps its own record of a container; it was renamed.
const CRI_RECORDS: [&str; 2] =
    ["io.cri-containerd.container.metadata", "io.containerd.cri.container.metadata"];
/// The image as the pod names it; the record itself may only have a digest.
const IMAGE_NAME: &str = "io.kubernetes.cri.image-name";

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetContainerRequest {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) container: Option<Container>,
}

/// The fields that are of use; others are skipped.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Container {
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) labels: BTreeMap<String, String>,
    #[prost(string, tag = "3")]
    pub(super) image: String,
    #[prost(message, optional, tag = "5")]
    pub(super) spec: Option<Any>,
    #[prost(btree_map = "string, message", tag = "10")]
    pub(super) extensions: BTreeMap<String, Any>,
}

/// A value and what it is; containerd's own are JSON.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

/// What the OCI runtime was told.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    process: Option<Process>,
    mounts: Option<Vec<Mount>>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Process {
    env: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Mount {
    destination: String,
    #[serde(rename = "type")]
    kind: String,
    source: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct CriRecord {
    metadata: CriMetadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct CriMetadata {
    log_path: String,
}

/// containerd.
pub(super) struct Containerd;

impl Api for Containerd {
    async fn greet(&self, socket: &Path) -> Result<(), Failure> {
        let channel = connect(socket).await?;
        let answer: Result<Empty, Status> = call(channel, VERSION, Request::new(Empty {})).await;
        answer.map(drop).map_err(|status| Failure::broken(words(&status)))
    }

    async fn ask(&self, socket: &Path, request: &RuntimeRequest) -> Result<Option<Answer>, Failure> {
        let channel = connect(socket).await?;
        for namespace in NAMESPACES {
            let mut message = Request::new(GetContainerRequest { id: request.id.clone() });
            message.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(namespace));
            match call(channel.clone(), GET_CONTAINER, message).await {
                Ok(answer) => {
                    let answer: GetContainerResponse = answer;
                    let Some(container) = answer.container else { continue };
                    return Ok(Some(Answer::Container(Box::new(found(request, &container)))));
                }
                Err(status) => match status.code() {
                    // An id that is none in containerd's eyes names no container.
                    Code::NotFound | Code::InvalidArgument => {}
                    Code::Unavailable | Code::Unimplemented => return Err(Failure::broken(words(&status))),
                    // What did not come from containerd has a cause on this side.
                    _ if status.source().is_some() => return Err(Failure::broken(words(&status))),
                    _ => return Err(Failure::of_request(words(&status))),
                },
            }
        }
        Ok(None)
    }
}

async fn connect(socket: &Path) -> Result<Channel, Failure> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()));
    let broken = |error: tonic::transport::Error| Failure::broken(reason(&error));
    endpoint.map_err(broken)?.connect().await.map_err(broken)
}

async fn call<M, R>(channel: Channel, path: &'static str, message: Request<M>) -> Result<R, Status>
where
    M: prost::Message + Default + 'static,
    R: prost::Message + Default + 'static,
{
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(reason(&error)))?;
    let codec: ProstCodec<M, R> = ProstCodec::default();
    let answer = client.unary(message, PathAndQuery::from_static(path), codec).await?;
    Ok(answer.into_inner())
}

fn words(status: &Status) -> String {
    format!("{}: {}", status.code(), status.message())
}

/// The row of a container that containerd knows. A part that cannot be read is left out.
pub(super) fn found(request: &RuntimeRequest, container: &Container) -> ContainerSnapshot {
    let json = |any: &Any| serde_json::from_slice(&any.value).ok();
    let spec: Spec = container.spec.as_ref().and_then(json).unwrap_or_default();
    let record = CRI_RECORDS.iter().find_map(|key| container.extensions.get(*key));
    let record: Option<CriRecord> = record.and_then(|any| serde_json::from_slice(&any.value).ok());
    let log_path = row::filled(record.map(|record| record.metadata.log_path));
    let image = spec.annotations.as_ref().and_then(|all| all.get(IMAGE_NAME)).unwrap_or(&container.image);
    let variables = spec.process.and_then(|process| process.env).unwrap_or_default();
    let bind = spec.mounts.unwrap_or_default().into_iter().filter(|mount| mount.kind == "bind");
    ContainerSnapshot {
        image: row::filled(Some(image.clone())),
        labels: container.labels.clone(),
        environment: row::environment(variables.iter().map(String::as_str)),
        log_format: log_path.as_ref().map(|_| row::CRI.to_owned()),
        log_path,
        mounts: Some(row::mounts(bind.map(|mount| (mount.destination, mount.source)))),
        ..row::container(Runtime::Containerd, request, MetadataStatus::Found)
    }
}
