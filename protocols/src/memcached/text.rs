//! Lines of the text protocol.

/// A line that is longer is none. Only those that ask for many keys are long.
pub(super) const MAX_LINE_BYTES: usize = 32 * 1024;
const MAX_KEY_BYTES: usize = 250;
/// A line that is no command may have so many.
const MAX_OTHER_BYTES: usize = 250;
/// Values are 1 GB at most (`-I`).
const MAX_DATA_BYTES: u64 = 1 << 30;

/// What a command does, as far as its replies differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Store,
    Arithmetic,
    Delete,
    Touch,
    Admin,
    /// Nobody answers it.
    Quit,
    MetaGet,
    MetaStore,
    MetaDelete,
    MetaArithmetic,
    MetaDebug,
    MetaNoop,
    /// A verb that is not known here, nor, it seems, to the server.
    Other,
}

/// A command without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Command<'line> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The key; of those with many all of them.
    pub(super) keys: &'line [u8],
    pub(super) key_count: u32,
    /// Bytes of the data that follows the line, without its line end.
    pub(super) data: Option<u64>,
    /// Not answered at all.
    pub(super) is_noreply: bool,
    /// Answered only if it did not go as usual.
    pub(super) is_quiet: bool,
    /// What its reply repeats.
    pub(super) opaque: Option<&'line [u8]>,
}

/// What ends a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    End,
    Stored,
    NotStored,
    Exists,
    NotFound,
    Deleted,
    Touched,
    Number,
    Error,
    Hd,
    En,
    Nf,
    Ns,
    Ex,
    Va,
    Me,
    Mn,
    Other,
}

/// A line of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply<'line> {
    /// A value of so many bytes follows, then more lines.
    Value { data: u64 },
    /// More lines follow.
    Item,
    /// It is all.
    Line(Answer),
    /// All but a value of so many bytes, if any.
    Meta { answer: Answer, data: Option<u64>, opaque: Option<&'line [u8]> },
    /// What a watcher gets.
    Log,
}

static VERBS: [(&str, Kind); 33] = [
    ("get", Kind::Get),
    ("gets", Kind::Get),
    ("gat", Kind::Get),
    ("gats", Kind::Get),
    ("set", Kind::Store),
    ("add", Kind::Store),
    ("replace", Kind::Store),
    ("append", Kind::Store),
    ("prepend", Kind::Store),
    ("cas", Kind::Store),
    ("incr", Kind::Arithmetic),
    ("decr", Kind::Arithmetic),
    ("delete", Kind::Delete),
    ("touch", Kind::Touch),
    ("mg", Kind::MetaGet),
    ("ms", Kind::MetaStore),
    ("md", Kind::MetaDelete),
    ("ma", Kind::MetaArithmetic),
    ("me", Kind::MetaDebug),
    ("mn", Kind::MetaNoop),
    ("stats", Kind::Admin),
    ("flush_all", Kind::Admin),
    ("version", Kind::Admin),
    ("verbosity", Kind::Admin),
    ("slabs", Kind::Admin),
    ("lru", Kind::Admin),
    ("lru_crawler", Kind::Admin),
    ("cache_memlimit", Kind::Admin),
    ("watch", Kind::Admin),
    ("extstore", Kind::Admin),
    ("refresh_certs", Kind::Admin),
    ("shutdown", Kind::Quit),
    ("quit", Kind::Quit),
];

/// The first line, without its end, and its length with it.
pub(super) fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\n')?;
    let line = bytes.get(..end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok().filter(|_| word.len() <= 20)?.parse().ok()
}

/// Times may be negative.
fn is_number(word: &[u8]) -> bool {
    number(word.strip_prefix(b"-").unwrap_or(word)).is_some()
}

fn is_key(word: &[u8]) -> bool {
    word.len() <= MAX_KEY_BYTES && word.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

/// Reads a line of a client. It may be the beginning of one; the last key is then a part of one.
pub(super) fn command(line: &[u8]) -> Option<Command<'_>> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let verb = words.next()?;
    let (name, kind) = VERBS.iter().copied().find(|(name, _)| name.as_bytes() == verb)?;
    let mut command = Command {
        name,
        kind,
        keys: b"",
        key_count: 0,
        data: None,
        is_noreply: kind == Kind::Quit,
        is_quiet: false,
        opaque: None,
    };
    match kind {
        Kind::Get => {
            if name.starts_with("gat") && !is_number(words.next()?) {
                return None;
            }
            let first = words.next()?;
            // All words are parts of the line, so the first key begins where it does.
            let offset = first.as_ptr().addr() - line.as_ptr().addr();
            command.keys = line.get(offset..)?.trim_ascii_end();
            command.key_count = 1;
            for key in std::iter::once(first).chain(words.inspect(|_| command.key_count += 1)) {
                if !is_key(key) {
                    return None;
                }
            }
        }
        Kind::Store => {
            command.keys = words.next().filter(|key| is_key(key))?;
            let (flags, time, data) = (words.next()?, words.next()?, words.next()?);
            let is_right = is_number(flags) && is_number(time);
            command.data = Some(number(data).filter(|length| is_right && *length <= MAX_DATA_BYTES)?);
            if name == "cas" {
                number(words.next()?)?;
            }
            command.is_noreply = noreply(words)?;
        }
        Kind::Arithmetic | Kind::Touch => {
            command.keys = words.next().filter(|key| is_key(key))?;
            is_number(words.next()?).then_some(())?;
            command.is_noreply = noreply(words)?;
        }
        Kind::Delete => {
            command.keys = words.next().filter(|key| is_key(key))?;
            // A time that has no use any more.
            command.is_noreply = noreply(words.filter(|word| *word != b"0"))?;
        }
        Kind::MetaGet | Kind::MetaStore | Kind::MetaDelete | Kind::MetaArithmetic | Kind::MetaDebug => {
            command.keys = words.next().filter(|key| is_key(key))?;
            if kind == Kind::MetaStore {
                command.data = Some(number(words.next()?).filter(|length| *length <= MAX_DATA_BYTES)?);
            }
            for flag in words {
                match flag.split_first()? {
                    (b'q', []) => command.is_quiet = true,
                    (b'O', opaque) => command.opaque = Some(opaque),
                    (first, _) if first.is_ascii_alphabetic() => {}
                    _ => return None,
                }
            }
        }
        Kind::MetaNoop => words.next().is_none().then_some(())?,
        Kind::Other => return None,
        Kind::Admin | Kind::Quit => {
            if line.iter().any(|byte| !matches!(byte, b' '..=b'~')) {
                return None;
            }
            command.is_noreply |= matches!(name, "flush_all" | "verbosity" | "cache_memlimit")
                && words.next_back() == Some(b"noreply");
        }
    }
    Some(command)
}

/// A line that is no command, and that the server answers with an error.
pub(super) fn other(line: &[u8]) -> Option<Command<'_>> {
    let is_text = line.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let fits = is_text && line.len() <= MAX_OTHER_BYTES && line.first().is_some_and(u8::is_ascii_lowercase);
    fits.then_some(Command {
        name: "other",
        kind: Kind::Other,
        keys: b"",
        key_count: 0,
        data: None,
        is_noreply: false,
        is_quiet: false,
        opaque: None,
    })
}

/// Whether what is left of a command says so. None if it says something else.
fn noreply<'line>(mut words: impl Iterator<Item = &'line [u8]>) -> Option<bool> {
    match (words.next(), words.next()) {
        (None, _) => Some(false),
        (Some(b"noreply"), None) => Some(true),
        _ => None,
    }
}

/// Reads a line of a server.
pub(super) fn reply(line: &[u8]) -> Option<Reply<'_>> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let first = words.next()?;
    let answer = match first {
        b"VALUE" => {
            words.next().filter(|key| is_key(key))?;
            number(words.next()?)?;
            let data = number(words.next()?).filter(|length| *length <= MAX_DATA_BYTES)?;
            return words.next().is_none_or(is_number).then_some(Reply::Value { data });
        }
        b"STAT" | b"ITEM" | b"PREFIX" => return Some(Reply::Item),
        b"END" => Answer::End,
        b"STORED" => Answer::Stored,
        b"NOT_STORED" => Answer::NotStored,
        b"EXISTS" => Answer::Exists,
        b"NOT_FOUND" => Answer::NotFound,
        b"DELETED" => Answer::Deleted,
        b"TOUCHED" => Answer::Touched,
        b"ERROR" | b"CLIENT_ERROR" | b"SERVER_ERROR" => Answer::Error,
        b"HD" | b"EN" | b"NF" | b"NS" | b"EX" | b"VA" | b"ME" | b"MN" => {
            let answer = match first {
                b"HD" => Answer::Hd,
                b"EN" => Answer::En,
                b"NF" => Answer::Nf,
                b"NS" => Answer::Ns,
                b"EX" => Answer::Ex,
                b"VA" => Answer::Va,
                b"ME" => Answer::Me,
                _ => Answer::Mn,
            };
            let data = match answer {
                Answer::Va => Some(number(words.next()?).filter(|length| *length <= MAX_DATA_BYTES)?),
                _ => None,
            };
            let opaque = words.find_map(|flag| flag.strip_prefix(b"O"));
            return Some(Reply::Meta { answer, data, opaque: opaque.filter(|_| answer != Answer::Me) });
        }
        b"OK" | b"VERSION" | b"RESET" | b"BUSY" | b"BADCLASS" | b"NOSPARE" | b"NOTFULL" | b"UNSAFE"
        | b"SAME" => Answer::Other,
        _ if first.starts_with(b"key=") => return Some(Reply::Item),
        _ if first.starts_with(b"ts=") => return Some(Reply::Log),
        // Numbers that became shorter have spaces behind them.
        _ if number(first).is_some() && words.next().is_none() => Answer::Number,
        _ => return None,
    };
    Some(Reply::Line(answer))
}

/// Whether this can be the answer to such a command.
pub(super) fn fits(kind: Kind, is_quiet: bool, answer: Answer) -> bool {
    use Answer::{
        Deleted, En, End, Error, Ex, Exists, Hd, Me, Mn, Nf, NotFound, NotStored, Ns, Number, Other, Stored,
        Touched, Va,
    };
    match (kind, answer) {
        (_, Error) => true,
        (Kind::Get, _) => answer == End,
        (Kind::Store, _) => matches!(answer, Stored | NotStored | Exists | NotFound),
        (Kind::Arithmetic, _) => matches!(answer, Number | NotFound),
        (Kind::Delete, _) => matches!(answer, Deleted | NotFound),
        (Kind::Touch, _) => matches!(answer, Touched | NotFound),
        (Kind::Admin, _) => matches!(answer, End | Other | Number),
        (Kind::Quit, _) => false,
        (Kind::MetaGet, En) | (Kind::MetaStore, Hd) | (Kind::MetaDelete | Kind::MetaArithmetic, Hd | Nf) => {
            !is_quiet
        }
        (Kind::MetaGet, _) => matches!(answer, Hd | Va),
        (Kind::MetaStore | Kind::MetaDelete | Kind::MetaArithmetic, _) => matches!(answer, Ns | Ex | Nf | Va),
        (Kind::MetaDebug, _) => matches!(answer, Me | En),
        (Kind::MetaNoop, _) => answer == Mn,
        (Kind::Other, _) => false,
    }
}
