//! The names at the beginning of a request's body: the protocol's version, the service, its version, the method.

const HESSIAN_2: u8 = 2;
const FAST_JSON: u8 = 6;
const FAST_JSON_2: u8 = 23;
/// A longer name is none.
const MAX_NAME_BYTES: usize = 512;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Names<'bytes> {
    pub(super) service: &'bytes [u8],
    pub(super) method: &'bytes [u8],
}

/// Reads them, if the encoding is known and all of them are there.
pub(super) fn names(encoding: u8, body: &[u8]) -> Option<Names<'_>> {
    let mut rest = body;
    let mut next = || match encoding {
        HESSIAN_2 => hessian(&mut rest),
        FAST_JSON | FAST_JSON_2 => json(&mut rest),
        _ => None,
    };
    let (_version, service, _service_version, method) = (next()?, next()?, next()?, next()?);
    let is_name = |name: &[u8]| {
        (1..=MAX_NAME_BYTES).contains(&name.len()) && name.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
    };
    (is_name(service) && is_name(method)).then_some(Names { service, method })
}

/// A text of Hessian 2, or a null, which is an empty one.
fn hessian<'bytes>(rest: &mut &'bytes [u8]) -> Option<&'bytes [u8]> {
    let (characters, text) = match **rest {
        [b'N', ref text @ ..] => (0, text),
        [length @ 0..=0x1f, ref text @ ..] => (usize::from(length), text),
        [high @ 0x30..=0x33, low, ref text @ ..] => (usize::from(high - 0x30) << 8 | usize::from(low), text),
        [b'S', high, low, ref text @ ..] => (usize::from(u16::from_be_bytes([high, low])), text),
        _ => return None,
    };
    if characters > MAX_NAME_BYTES {
        return None;
    }
    // Lengths are of characters: bytes that go on with one do not count.
    let mut begins = text.iter().enumerate().filter(|(_, byte)| **byte & 0xc0 != 0x80);
    let end = match begins.nth(characters) {
        Some((end, _)) => end,
        None => {
            let there = text.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
            (there == characters).then_some(text.len())?
        }
    };
    let (text, after) = text.split_at_checked(end)?;
    *rest = after;
    Some(text)
}

/// A line with a text in quotes, or a null.
fn json<'bytes>(rest: &mut &'bytes [u8]) -> Option<&'bytes [u8]> {
    let end = rest.iter().take(MAX_NAME_BYTES + 4).position(|byte| *byte == b'\n')?;
    let line = rest.get(..end)?.trim_ascii();
    *rest = rest.get(end + 1..)?;
    if line == b"null" {
        return Some(&[]);
    }
    line.strip_prefix(b"\"")?.strip_suffix(b"\"")
}
