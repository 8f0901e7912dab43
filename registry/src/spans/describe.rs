//! What a span says: kind, name, status and attributes by OpenTelemetry's semantic conventions.
//!
//! Rules: <https://opentelemetry.io/docs/specs/semconv/> (http, database, messaging, rpc, dns).

use std::net::IpAddr;

use aftertrace_protocols::{Ending, Exchange, Method, OwnedValue, Side, System};

use super::identity::Identity;
use super::span::{Resource, Span, SpanKind};
use super::{SpanConfig, SpanValue, Told, address, service};

/// Bytes of a text; the rest is cut off.
const MAX_TEXT_BYTES: usize = 4096;
/// Methods that may be names; others are `_OTHER`, which are many.
const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "QUERY"];
/// In the place of a value that is not one of few.
const OTHER: &str = "_OTHER";

/// Which part the process had.
pub(super) fn kind(told: &Told<'_>) -> SpanKind {
    match (told.own_side, told.exchange.method) {
        (Side::Server, _) => SpanKind::Server,
        (Side::Client, Method::Request) => SpanKind::Client,
        (Side::Client, Method::Produce) => SpanKind::Producer,
        (Side::Client, Method::Consume) => SpanKind::Consumer,
    }
}

/// The span of an exchange.
pub(super) fn span(mut told: Told<'_>, kind: SpanKind, identity: Identity, config: &SpanConfig) -> Span {
    let details = told.exchange.details.take().map(|details| *details).unwrap_or_default();
    let mut attributes = Attributes { all: Vec::with_capacity(details.attributes.len() + 8), told: &told };
    attributes.system();
    for (key, value) in details.attributes {
        attributes.add(key, value, config);
    }
    attributes.ends();
    let is_error = attributes.outcome();
    // Of gRPC, which is named by its method.
    let is_call = attributes.has("rpc.method");
    let all = attributes.all;
    let name = match told.protocol.system {
        System::Http if !is_call && !METHODS.contains(&&*details.name) => "HTTP".into(),
        _ if details.name.is_empty() => told.protocol.name.into(),
        _ => details.name,
    };
    let Identity { trace_id, span_id, parent, flags } = identity;
    let (host, host_id) = told.node.names();
    Span {
        trace_id,
        span_id,
        parent,
        flags,
        kind,
        name,
        start_ns: told.exchange.begun_ns,
        end_ns: told.exchange.ended_ns.max(told.exchange.begun_ns),
        is_error,
        protocol: told.protocol.name,
        attributes: all,
        resource: Resource {
            service: service::name(&told.container.id).into(),
            container: told.container.id.clone(),
            host: host.into(),
            host_id: host_id.into(),
        },
    }
}

struct Attributes<'a> {
    all: Vec<(&'static str, SpanValue)>,
    told: &'a Told<'a>,
}

impl Attributes<'_> {
    fn push(&mut self, key: &'static str, value: impl Into<Box<str>>) {
        self.all.push((key, SpanValue::Text(value.into())));
    }

    fn text(&self, wanted: &str) -> Option<&str> {
        self.all.iter().find_map(|(key, value)| match value {
            SpanValue::Text(text) if *key == wanted => Some(&**text),
            _ => None,
        })
    }

    fn has(&self, wanted: &str) -> bool {
        self.all.iter().any(|(key, _)| *key == wanted)
    }

    fn system(&mut self) {
        match self.told.protocol.system {
            System::Database(name) => self.push("db.system.name", name),
            System::Messaging(name) => self.push("messaging.system", name),
            System::Rpc(name) => self.push("rpc.system.name", name),
            System::Http | System::Dns => {}
        }
    }

    /// What the codec said.
    fn add(&mut self, key: &'static str, value: OwnedValue, config: &SpanConfig) {
        let text = match value {
            OwnedValue::Text(text) => text,
            number => return self.all.push((key, number)),
        };
        match key {
            "url.query" if !config.keeps_literals => {}
            "db.query.text" if !config.keeps_literals => {
                let plain = self.told.protocol.statement_without_literals(text.as_bytes());
                self.push(key, cut(&String::from_utf8_lossy(&plain)));
            }
            "http.request.method" if !METHODS.contains(&&*text) => {
                self.push(key, OTHER);
                self.push("http.request.method_original", text);
            }
            "server.address" => self.host(&text),
            _ => self.push(key, cut(&text)),
        }
    }

    /// Name and port as a request has them.
    fn host(&mut self, host: &str) {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
            _ => (host, None),
        };
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        self.push("server.address", cut(name));
        self.all.extend(port.map(|port: u16| ("server.port", SpanValue::Integer(port.into()))));
    }

    /// Who talked to whom.
    fn ends(&mut self) {
        let (end, own_side) = (self.told.end, self.told.own_side);
        let server = if own_side == Side::Client { end.peer } else { end.local };
        if !self.has("server.address") {
            let name = self.told.server_name.map(|name| SpanValue::Text((**name).into()));
            self.all.push(("server.address", name.unwrap_or_else(|| address(server.ip()))));
        }
        if !self.has("server.port") {
            self.all.push(("server.port", SpanValue::Integer(server.port().into())));
        }
        if own_side == Side::Server {
            self.all.push(("client.address", address(end.peer.ip())));
        }
        self.all.push(("network.peer.address", address(end.peer.ip())));
        self.all.push(("network.peer.port", SpanValue::Integer(end.peer.port().into())));
        let transport = if self.told.is_datagrams { "udp" } else { "tcp" };
        self.push("network.transport", transport);
        if self.told.protocol.system == System::Http {
            self.url();
        }
    }

    fn url(&mut self) {
        let scheme = if self.told.tls.is_some() { "https" } else { "http" };
        self.push("url.scheme", scheme);
        if self.told.own_side == Side::Server {
            return;
        }
        let (Some(host), Some(path)) = (self.text("server.address"), self.text("url.path")) else { return };
        if !path.starts_with('/') {
            return;
        }
        let host = if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let port = self.all.iter().find_map(|(key, value)| match value {
            SpanValue::Integer(port) if *key == "server.port" => Some(*port),
            _ => None,
        });
        let port = match (port, self.told.tls.is_some()) {
            (None, _) | (Some(80), false) | (Some(443), true) => String::new(),
            (Some(port), _) => format!(":{port}"),
        };
        let query = self.text("url.query").map(|query| format!("?{query}")).unwrap_or_default();
        let full = format!("{scheme}://{host}{port}{path}{query}");
        self.push("url.full", full);
    }

    /// Whether it failed, and how.
    fn outcome(&mut self) -> bool {
        let Exchange { ending, status, .. } = &self.told.exchange;
        let why = match ending {
            Ending::TimedOut => "timeout".to_owned(),
            Ending::Closed => "closed".to_owned(),
            Ending::Answered => match self.told.protocol.system {
                System::Http => {
                    let code = self.all.iter().find_map(|(key, value)| match value {
                        SpanValue::Integer(code) if *key == "http.response.status_code" => Some(*code),
                        _ => None,
                    });
                    let least = if self.told.own_side == Side::Server { 500 } else { 400 };
                    match code.filter(|code| *code >= least) {
                        Some(code) => code.to_string(),
                        // A call of gRPC, or a stream that was reset: what HTTP says of it is no error.
                        None if status.is_error && code.is_none_or(|code| code < 400) => {
                            status.label.trim_start_matches("grpc:").to_owned()
                        }
                        None => return false,
                    }
                }
                _ if !status.is_error => return false,
                _ => {
                    let code = self.text("db.response.status_code").or(self.text("rpc.response.status_code"));
                    // Names of errors of name services are few.
                    let own = if status.label == "failed" { OTHER } else { status.label };
                    code.unwrap_or(own).to_owned()
                }
            },
        };
        if !self.has("error.type") {
            self.push("error.type", why);
        }
        true
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or(text)
}
