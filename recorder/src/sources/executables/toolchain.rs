//! What built a program, by what its file says: build information of Go, the compiler's name that Rust leaves, the
//! library path of .NET.

use aftertrace_schemas::tables::Toolchain;

use super::elf::{Elf, ReadAt};
use crate::sources::text::lossy;

const GO_SECTION: &str = ".go.buildinfo";
const GO_MAGIC: &[u8] = b"\xff Go buildinf:";
/// The build information is aligned to this.
const GO_ALIGNMENT: usize = 16;
const GO_HEADER_BYTES: usize = 32;
/// Set since Go 1.18: the version follows the header.
const GO_FLAG_INLINE: u8 = 2;
/// Go looks for its own build information no further.
const GO_SEARCHED_BYTES: u64 = 64 << 10;
/// Versions are short; compilers that were linked together leave a line each.
const VERSION_LIMIT_BYTES: usize = 256;
const COMMENT_LIMIT_BYTES: u64 = 16 << 10;
const RUST_MARK: &str = "rustc version ";
const DYNAMIC_LIMIT_BYTES: u64 = 16 << 10;
const STRINGS_LIMIT_BYTES: u64 = 1 << 20;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DOTNET_PATH: &[u8] = b"$ORIGIN/netcoredeps";

/// What built a file, with the version where it is told; `None` when it does not say.
pub(super) fn toolchain(file: &impl ReadAt) -> Option<(Toolchain, Option<String>)> {
    let elf = Elf::open(file)?;
    if let Some(version) = go(&elf) {
        return Some((Toolchain::Golang, version));
    }
    if let Some(version) = rust(&elf) {
        return Some((Toolchain::Rust, Some(version)));
    }
    is_dotnet(&elf).then_some((Toolchain::Dotnet, None))
}

/// Whether Go built it, and its version.
fn go<R: ReadAt>(elf: &Elf<'_, R>) -> Option<Option<String>> {
    let limit = GO_SEARCHED_BYTES;
    // A stripped program can be without names of sections.
    let bytes = elf.section(GO_SECTION, limit).or_else(|| elf.data(limit))?;
    let info = bytes.chunks(GO_ALIGNMENT).position(|chunk| chunk.starts_with(GO_MAGIC))?;
    let info = bytes.get(info * GO_ALIGNMENT..)?;
    let is_inline = info.get(GO_MAGIC.len() + 1).is_some_and(|flags| flags & GO_FLAG_INLINE != 0);
    Some(is_inline.then(|| go_version(info.get(GO_HEADER_BYTES..)?)).flatten())
}

/// A length in as few groups of seven bits as it needs, then the text.
fn go_version(bytes: &[u8]) -> Option<String> {
    let (length, text) = match bytes {
        [low, rest @ ..] if *low < 0x80 => (usize::from(*low), rest),
        [low, high, rest @ ..] if *high < 0x80 => (usize::from(low & 0x7f) | usize::from(*high) << 7, rest),
        _ => return None,
    };
    let text = text.get(..length)?;
    Some(lossy(text.get(..VERSION_LIMIT_BYTES).unwrap_or(text)))
}

/// The version of the Rust compiler that had a part in it.
fn rust<R: ReadAt>(elf: &Elf<'_, R>) -> Option<String> {
    let comment = elf.section(".comment", COMMENT_LIMIT_BYTES)?;
    comment.split(|byte| *byte == 0).find_map(|line| {
        let line = lossy(line.get(..VERSION_LIMIT_BYTES).unwrap_or(line));
        Some(line.split_once(RUST_MARK)?.1.to_owned())
    })
}

fn is_dotnet<R: ReadAt>(elf: &Elf<'_, R>) -> bool {
    let entries = elf.dynamic(DYNAMIC_LIMIT_BYTES);
    let mut paths = entries.iter().filter(|(tag, _)| [DT_RPATH, DT_RUNPATH].contains(tag)).peekable();
    if paths.peek().is_none() {
        return false;
    }
    let strings = elf.section(".dynstr", STRINGS_LIMIT_BYTES).unwrap_or_default();
    paths.any(|(_, at)| {
        let text = usize::try_from(*at).ok().and_then(|at| strings.get(at..)).unwrap_or_default();
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        text.split(|byte| *byte == b':').any(|path| path == DOTNET_PATH)
    })
}
