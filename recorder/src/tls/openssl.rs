//! OpenSSL and what came of it: functions, and which of them the file has.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::image::Image;
use super::points::{Candidate, NoPoints, Points, Role, Stack, assemble};
use super::symbols::{self, Named, Symbol};
use super::{code, relocations};

/// The functions. `SSL_peek` takes nothing from the session, so what it gives comes again.
pub(super) const FUNCTIONS: &[Named] = &[
    Named { name: "SSL_read", role: Role::Read },
    Named { name: "SSL_write", role: Role::Write },
    Named { name: "SSL_read_ex", role: Role::ReadEx },
    Named { name: "SSL_write_ex", role: Role::WriteEx },
    Named { name: "SSL_write_ex2", role: Role::WriteEx2 },
    Named { name: "SSL_set_connect_state", role: Role::Begin },
    Named { name: "SSL_set_accept_state", role: Role::Begin },
    Named { name: "SSL_do_handshake", role: Role::Handshake },
    Named { name: "SSL_set_fd", role: Role::SetFd },
    Named { name: "SSL_free", role: Role::Free },
];

/// Functions that only BoringSSL and its children have.
pub(super) const BORING: &[&str] = &["SSL_CTX_set_grease_enabled", "SSL_CTX_set_reverify_on_resume"];

/// Functions that return a table of functions.
///
/// Up to 1.0.2, `SSL_read` and `SSL_write` end in a jump to the session's `ssl_read` and `ssl_write`, and these can end in
/// one to its `ssl_read_bytes` and `ssl_write_bytes`. For all versions of TLS over TCP they are the same functions.
pub(super) const METHODS: &[&str] = &["TLSv1_2_client_method", "TLSv1_client_method"];
const METHOD_READS: [u64; 2] = [48, 104];
const METHOD_WRITES: [u64; 2] = [64, 112];
/// Enough for the one instruction that such a function consists of.
const METHOD_BYTES: u64 = 16;

/// Constants beyond this are not searched.
const CONSTANTS_LIMIT_BYTES: u64 = 128 << 20;
const TEXT_LIMIT_BYTES: u64 = 128;

/// The texts that tell the version, and the name of the source file that libssl has in its messages.
#[allow(clippy::unwrap_used, reason = "the expression is constant, and every test compiles it")]
static TEXTS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?-u)(?P<openssl>OpenSSL [0-9]\.[0-9]+\.[0-9]+[a-z0-9+.-]* +[0-9]+ [A-Z][a-z][a-z] [0-9]{4})|(?P<libressl>LibreSSL [0-9]\.[0-9]+\.[0-9]+)|(?P<awslc>AWS-LC (?:FIPS )?[0-9]+\.[0-9]+\.[0-9]+)|ssl/ssl_lib\.(?P<source>cc?)[^a-z]",
    )
    .unwrap()
});
/// The versions at which functions came; the greatest is the least that the library can be.
#[allow(clippy::unwrap_used, reason = "the expression is constant, and every test compiles it")]
static NODES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?-u)OPENSSL_([0-9])[._]([0-9]+)[._]([0-9]+)[a-z]*\x00").unwrap());

/// What a file says of itself.
#[derive(Debug, Default)]
struct Texts {
    openssl: Option<String>,
    libressl: Option<String>,
    awslc: Option<String>,
    /// It has libssl in it, from C or from C++.
    source: Option<Stack>,
}

/// The probe points; `NotTls` when there is nothing of OpenSSL in the file.
pub(super) fn points(image: &Image<'_>, symbols: &[Symbol]) -> Result<Points, NoPoints> {
    let texts = read_texts(image)?;
    let is_boring = symbols.iter().any(|symbol| BORING.contains(&symbol.name.as_str()));
    let stack = if is_boring || texts.awslc.is_some() || texts.source == Some(Stack::BoringSsl) {
        Stack::BoringSsl
    } else if texts.libressl.is_some() {
        Stack::LibreSsl
    } else {
        Stack::OpenSsl
    };
    let version = match stack {
        Stack::BoringSsl => texts.awslc,
        Stack::LibreSsl => texts.libressl,
        _ => match texts.openssl {
            Some(version) => Some(version),
            None => version_by_nodes(image)?,
        },
    };
    let mut candidates = symbols::candidates(image, symbols, FUNCTIONS);
    if version.as_deref().is_some_and(|version| version.starts_with("OpenSSL 1.0.")) {
        continue_by_method(image, symbols, &mut candidates);
    }
    match assemble(image, stack, version, candidates) {
        Err(NoPoints::NotTls) if texts.source.is_some() => Err(NoPoints::Stripped(stack)),
        result => result,
    }
}

/// Tells where the jumps of reading and writing functions lead to that go through the session's table.
fn continue_by_method(image: &Image<'_>, symbols: &[Symbol], candidates: &mut [Candidate]) {
    let method = symbols.iter().find(|symbol| METHODS.contains(&symbol.name.as_str()));
    let table = method.and_then(|method| {
        let bytes = image.bytes_at(method.address, METHOD_BYTES).ok()?;
        code::address_returned(image.machine, &bytes, method.address)
    });
    let Some(table) = table else { return };
    for candidate in candidates {
        let places: &[u64] = match candidate.role {
            Role::Read => &METHOD_READS,
            Role::Write => &METHOD_WRITES,
            _ => &[],
        };
        let pointer = |place: &u64| relocations::pointer_at(image, table.checked_add(*place)?);
        candidate.continues = places.iter().map_while(pointer).collect();
    }
}

fn read_texts(image: &Image<'_>) -> Result<Texts, NoPoints> {
    let mut texts = Texts::default();
    for section in image.sections.iter().filter(|section| section.name.starts_with(b".rodata")) {
        let end = section.range().end.min(section.offset.saturating_add(CONSTANTS_LIMIT_BYTES));
        image.walk(section.offset..end, TEXT_LIMIT_BYTES, |_, bytes| {
            for found in TEXTS.captures_iter(bytes) {
                let text = |name: &str| found.name(name).map(|text| lossy(text.as_bytes()));
                texts.openssl = texts.openssl.take().or_else(|| text("openssl"));
                texts.libressl = texts.libressl.take().or_else(|| text("libressl"));
                texts.awslc = texts.awslc.take().or_else(|| text("awslc"));
                let source = found.name("source").map(|suffix| match suffix.as_bytes() {
                    b"cc" => Stack::BoringSsl,
                    _ => Stack::OpenSsl,
                });
                texts.source = texts.source.take().or(source);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(texts)
}

fn version_by_nodes(image: &Image<'_>) -> Result<Option<String>, NoPoints> {
    let mut greatest: Option<(Vec<u32>, String)> = None;
    let Some(strings) = image.section(".dynstr") else { return Ok(None) };
    image.walk(strings.range(), TEXT_LIMIT_BYTES, |_, bytes| {
        for found in NODES.captures_iter(bytes) {
            let numbers =
                found.iter().skip(1).flatten().filter_map(|number| lossy(number.as_bytes()).parse().ok());
            let numbers: Vec<u32> = numbers.collect();
            let text = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
            if greatest.as_ref().is_none_or(|(known, _)| *known < numbers) {
                greatest = Some((numbers, text));
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(greatest.map(|(_, text)| format!("OpenSSL {text} or later")))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
