//! Names of headers: which matter, and the fields that everybody knows (RFC 7541, appendix A).

use crate::text_secrets::is_secret_name;

/// What a header is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    Method,
    Path,
    Scheme,
    Authority,
    Status,
    Host,
    UserAgent,
    ContentType,
    Traceparent,
    B3,
    B3TraceId,
    B3SpanId,
    B3Sampled,
    GrpcStatus,
    /// Nothing of the others.
    Other,
    /// Its value is a secret.
    Secret,
    /// Its name was not kept.
    Unknown,
}

/// How many have a value that matters.
pub(super) const WANTED: usize = 14;

impl Header {
    /// The one of this name.
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":path" => Self::Path,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":status" => Self::Status,
            b"host" => Self::Host,
            b"user-agent" => Self::UserAgent,
            b"content-type" => Self::ContentType,
            b"traceparent" => Self::Traceparent,
            b"b3" => Self::B3,
            b"x-b3-traceid" => Self::B3TraceId,
            b"x-b3-spanid" => Self::B3SpanId,
            b"x-b3-sampled" => Self::B3Sampled,
            b"grpc-status" => Self::GrpcStatus,
            _ if is_secret_name(&String::from_utf8_lossy(name).to_ascii_lowercase()) => Self::Secret,
            _ => Self::Other,
        }
    }

    /// Whether its value matters.
    pub(super) fn is_wanted(self) -> bool {
        (self as usize) < WANTED
    }

    /// Whether it stands before all others, and tells what kind of head it is.
    pub(super) fn is_pseudo(self) -> bool {
        matches!(self, Self::Method | Self::Path | Self::Scheme | Self::Authority | Self::Status)
    }
}

/// The fields that need not be said: what they are, name and value.
pub(super) static STATIC: [(Header, &str, &str); 61] = [
    (Header::Authority, ":authority", ""),
    (Header::Method, ":method", "GET"),
    (Header::Method, ":method", "POST"),
    (Header::Path, ":path", "/"),
    (Header::Path, ":path", "/index.html"),
    (Header::Scheme, ":scheme", "http"),
    (Header::Scheme, ":scheme", "https"),
    (Header::Status, ":status", "200"),
    (Header::Status, ":status", "204"),
    (Header::Status, ":status", "206"),
    (Header::Status, ":status", "304"),
    (Header::Status, ":status", "400"),
    (Header::Status, ":status", "404"),
    (Header::Status, ":status", "500"),
    (Header::Other, "accept-charset", ""),
    (Header::Other, "accept-encoding", "gzip, deflate"),
    (Header::Other, "accept-language", ""),
    (Header::Other, "accept-ranges", ""),
    (Header::Other, "accept", ""),
    (Header::Other, "access-control-allow-origin", ""),
    (Header::Other, "age", ""),
    (Header::Other, "allow", ""),
    (Header::Secret, "authorization", ""),
    (Header::Other, "cache-control", ""),
    (Header::Other, "content-disposition", ""),
    (Header::Other, "content-encoding", ""),
    (Header::Other, "content-language", ""),
    (Header::Other, "content-length", ""),
    (Header::Other, "content-location", ""),
    (Header::Other, "content-range", ""),
    (Header::ContentType, "content-type", ""),
    (Header::Secret, "cookie", ""),
    (Header::Other, "date", ""),
    (Header::Other, "etag", ""),
    (Header::Other, "expect", ""),
    (Header::Other, "expires", ""),
    (Header::Other, "from", ""),
    (Header::Host, "host", ""),
    (Header::Other, "if-match", ""),
    (Header::Other, "if-modified-since", ""),
    (Header::Other, "if-none-match", ""),
    (Header::Other, "if-range", ""),
    (Header::Other, "if-unmodified-since", ""),
    (Header::Other, "last-modified", ""),
    (Header::Other, "link", ""),
    (Header::Other, "location", ""),
    (Header::Other, "max-forwards", ""),
    (Header::Secret, "proxy-authenticate", ""),
    (Header::Secret, "proxy-authorization", ""),
    (Header::Other, "range", ""),
    (Header::Other, "referer", ""),
    (Header::Other, "refresh", ""),
    (Header::Other, "retry-after", ""),
    (Header::Other, "server", ""),
    (Header::Secret, "set-cookie", ""),
    (Header::Other, "strict-transport-security", ""),
    (Header::Other, "transfer-encoding", ""),
    (Header::UserAgent, "user-agent", ""),
    (Header::Other, "vary", ""),
    (Header::Other, "via", ""),
    (Header::Secret, "www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_knows_is_named_as_what_is_said() {
        for (header, name, _) in STATIC {
            assert_eq!(header, Header::of(name.as_bytes()), "{name}");
        }
        assert_eq!(Header::of(b"x-api-key"), Header::Secret);
        assert_eq!(Header::of(b"x-request-id"), Header::Other);
        assert_eq!(Header::GrpcStatus as usize + 1, WANTED);
        assert!(Header::GrpcStatus.is_wanted() && !Header::Other.is_wanted());
    }
}
