//! The head of a message: its first line and the headers that matter.

/// Methods of RFC 9110, RFC 5789 and WebDAV (RFC 4918) that open a request; others are taken when their line is whole.
const METHODS: [&str; 16] = [
    "GET",
    "POST",
    "PUT",
    "HEAD",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
];
/// The longest method that is taken for one.
const MAX_METHOD_BYTES: usize = 20;

/// What a first line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstLine<'bytes> {
    /// Of a request; `is_whole` tells whether all of the target is there.
    Request { method: &'bytes [u8], target: &'bytes [u8], minor_version: u8, is_whole: bool },
    /// Of a response.
    Status { minor_version: u8, code: u16 },
    /// It may become either.
    Cut,
    /// Neither.
    Other,
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads a version, as `HTTP/1.1`; the minor number.
fn version(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] => Some(minor - b'0'),
        _ => None,
    }
}

/// What the first line of `bytes` is.
pub(super) fn first_line(bytes: &[u8]) -> FirstLine<'_> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(rest) = line.get(8..).filter(|_| line.starts_with(b"HTTP/")) {
        let Some(minor_version) = line.get(..8).and_then(version) else { return FirstLine::Other };
        return match rest {
            [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']
            | [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => {
                let digit = |digit: &u8| u16::from(digit - b'0');
                FirstLine::Status { minor_version, code: digit(a) * 100 + digit(b) * 10 + digit(c) }
            }
            [] | [b' '] | [b' ', _] | [b' ', _, _] if end.is_none() => FirstLine::Cut,
            _ => FirstLine::Other,
        };
    }
    if b"HTTP/1.".starts_with(line) && end.is_none() {
        return FirstLine::Cut;
    }
    let Some(space) = line.iter().take(MAX_METHOD_BYTES + 1).position(|byte| *byte == b' ') else {
        let may_become = end.is_none() && METHODS.iter().any(|method| method.as_bytes().starts_with(line));
        return if may_become { FirstLine::Cut } else { FirstLine::Other };
    };
    let (method, rest) = line.split_at(space);
    let rest = rest.get(1..).unwrap_or_default();
    let is_known = METHODS.iter().any(|known| known.as_bytes() == method);
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte) && !byte.is_ascii_lowercase()) {
        return FirstLine::Other;
    }
    let target_end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
    let (target, tail) = rest.split_at(target_end);
    let is_target = |target: &[u8]| {
        matches!(target.first(), Some(b'/' | b'*'))
            || target.windows(3).any(|window| window == b"://")
            || (method == b"CONNECT" && target.contains(&b':'))
    };
    match (end, version(tail.get(1..).unwrap_or_default())) {
        (Some(_), Some(minor_version)) if is_target(target) => {
            FirstLine::Request { method, target, minor_version, is_whole: true }
        }
        (Some(_), _) => FirstLine::Other,
        // The line is longer than what is kept, or not all there yet.
        (None, _)
            if is_known
                && (rest.is_empty() || is_target(target))
                && target.iter().all(|byte| byte.is_ascii_graphic()) =>
        {
            let is_whole = version(tail.get(1..).unwrap_or_default()).is_some();
            FirstLine::Request { method, target, minor_version: 1, is_whole }
        }
        (None, _) => FirstLine::Other,
    }
}

/// What headers say that matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Headers<'bytes> {
    pub(super) content_length: Option<u64>,
    pub(super) is_chunked: bool,
    pub(super) host: &'bytes [u8],
    pub(super) user_agent: &'bytes [u8],
    pub(super) traceparent: &'bytes [u8],
    pub(super) b3: &'bytes [u8],
    pub(super) b3_trace_id: &'bytes [u8],
    pub(super) b3_span_id: &'bytes [u8],
    pub(super) b3_sampled: &'bytes [u8],
}

/// Bytes of a head with its empty line; none when that is not there.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let crlf = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|place| place + 4);
    crlf.or_else(|| bytes.windows(2).position(|window| window == b"\n\n").map(|place| place + 2))
}

/// Reads the headers of a head, also of one that is cut.
pub(super) fn headers(head: &[u8]) -> Headers<'_> {
    let mut headers = Headers::default();
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("content-length") {
            headers.content_length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
        } else if is("transfer-encoding") {
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
            headers.is_chunked = last.eq_ignore_ascii_case(b"chunked");
        } else if is("host") {
            headers.host = value;
        } else if is("user-agent") {
            headers.user_agent = value;
        } else if is("traceparent") {
            headers.traceparent = value;
        } else if is("b3") {
            headers.b3 = value;
        } else if is("x-b3-traceid") {
            headers.b3_trace_id = value;
        } else if is("x-b3-spanid") {
            headers.b3_span_id = value;
        } else if is("x-b3-sampled") {
            headers.b3_sampled = value;
        }
    }
    headers
}
