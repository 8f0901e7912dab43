//! GnuTLS: its functions.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::image::Image;
use super::points::{NoPoints, Points, Role, Stack, assemble};
use super::symbols::{self, Named, Symbol};

/// The functions.
pub(super) const FUNCTIONS: &[Named] = &[
    Named { name: "gnutls_record_recv", role: Role::Read },
    Named { name: "gnutls_record_send", role: Role::Write },
    Named { name: "gnutls_record_send2", role: Role::Write },
    Named { name: "gnutls_record_uncork", role: Role::Flush },
    Named { name: "gnutls_handshake", role: Role::Handshake },
    Named { name: "gnutls_transport_set_int2", role: Role::SetFd },
    Named { name: "gnutls_deinit", role: Role::Free },
];

const NODE_LIMIT_BYTES: u64 = 64;

/// The versions at which functions came; the greatest is the least that the library can be.
#[allow(clippy::unwrap_used, reason = "the expression is constant, and every test compiles it")]
static NODES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?-u)GNUTLS_([0-9])_([0-9]+)(?:_([0-9]+))?\x00").unwrap());

/// The probe points.
pub(super) fn points(image: &Image<'_>, symbols: &[Symbol]) -> Result<Points, NoPoints> {
    let candidates = symbols::candidates(image, symbols, FUNCTIONS);
    assemble(image, Stack::GnuTls, version(image)?, candidates)
}

fn version(image: &Image<'_>) -> Result<Option<String>, NoPoints> {
    let Some(strings) = image.section(".dynstr") else { return Ok(None) };
    let mut greatest: Vec<u32> = Vec::new();
    image.walk(strings.range(), NODE_LIMIT_BYTES, |_, bytes| {
        for found in NODES.captures_iter(bytes) {
            let number =
                |text: regex::bytes::Match<'_>| std::str::from_utf8(text.as_bytes()).ok()?.parse().ok();
            let numbers: Vec<u32> = found.iter().skip(1).flatten().filter_map(number).collect();
            greatest = std::mem::take(&mut greatest).max(numbers);
        }
        ControlFlow::Continue(())
    })?;
    let text = greatest.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    Ok((!greatest.is_empty()).then(|| format!("GnuTLS {text} or later")))
}
