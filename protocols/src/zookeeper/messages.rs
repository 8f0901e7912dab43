//! What requests and replies look like: names of operations and errors, and whether bytes can be a message.

use crate::Side;
use crate::cursor::Cursor;

/// A longer message is none: servers refuse more than `jute.maxbuffer`, 1 MiB unless raised.
pub(super) const MAX_MESSAGE_BYTES: u32 = 64 << 20;
/// Of a message, looked at.
pub(super) const HEAD_BYTES: usize = 1200;
/// Of a path, kept.
const MAX_PATH_BYTES: usize = 1024;
/// A longer path is none.
const LONGEST_PATH_BYTES: usize = 64 * 1024;
/// Length of a session's password.
const PASSWORD_BYTES: usize = 16;

/// The xid of a ping.
pub(super) const PING: i32 = -2;
/// The xid of an authentication.
pub(super) const AUTH: i32 = -4;
/// The xid of watches that are set again.
pub(super) const SET_WATCHES: i32 = -8;
/// The xid of what a watch saw.
pub(super) const EVENT: i32 = -1;

/// The operation of several others.
pub(super) const MULTI: i32 = 14;
/// The same for reads.
pub(super) const MULTI_READ: i32 = 22;
/// A step of SASL.
pub(super) const SASL: i32 = 102;

/// Bytes of a reply's header.
const REPLY_HEADER_BYTES: u32 = 16;
/// Bytes of what is said of a node.
const STAT_BYTES: u32 = 68;

/// How far bytes look like a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// All of its fields fit its length.
    Whole,
    /// Its first fields fit.
    Beginning,
    /// Its header may be one.
    Header,
    /// It is none.
    Other,
}

/// What follows the path of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fields {
    /// No path either.
    None,
    /// So many bytes.
    Path(usize),
    /// A buffer, then so many bytes at least; they are all there is when the second says so.
    Data(usize, bool),
    /// A list of rights.
    Rights,
    /// No path, but requests.
    Requests,
    /// No path, but lists of them.
    Watches,
    /// No path, but credentials.
    Credentials,
    /// No path, but a buffer.
    Token,
    /// No path, but three texts that may be missing.
    Servers,
}

fn fields(operation: i32) -> Option<(&'static str, Fields)> {
    Some(match operation {
        1 => ("create", Fields::Data(8, false)),
        2 => ("delete", Fields::Path(4)),
        3 => ("exists", Fields::Path(1)),
        4 => ("getData", Fields::Path(1)),
        5 => ("setData", Fields::Data(4, true)),
        6 => ("getACL", Fields::Path(0)),
        7 => ("setACL", Fields::Rights),
        8 => ("getChildren", Fields::Path(1)),
        9 => ("sync", Fields::Path(0)),
        11 => ("ping", Fields::None),
        12 => ("getChildren2", Fields::Path(1)),
        13 => ("check", Fields::Path(4)),
        MULTI => ("multi", Fields::Requests),
        15 => ("create2", Fields::Data(8, false)),
        16 => ("reconfig", Fields::Servers),
        17 => ("checkWatches", Fields::Path(4)),
        18 => ("removeWatches", Fields::Path(4)),
        19 => ("createContainer", Fields::Data(8, false)),
        20 => ("deleteContainer", Fields::Path(0)),
        21 => ("createTTL", Fields::Data(16, false)),
        MULTI_READ => ("multiRead", Fields::Requests),
        100 => ("auth", Fields::Credentials),
        101 => ("setWatches", Fields::Watches),
        SASL => ("sasl", Fields::Token),
        103 => ("getEphemerals", Fields::Path(0)),
        104 => ("getAllChildrenNumber", Fields::Path(0)),
        105 => ("setWatches2", Fields::Watches),
        106 => ("addWatch", Fields::Path(4)),
        107 => ("whoAmI", Fields::None),
        -11 => ("closeSession", Fields::None),
        _ => return None,
    })
}

/// Name of an error, as the C client's header has it.
pub(super) fn error(code: i32) -> Option<&'static str> {
    Some(match code {
        -1 => "ZSYSTEMERROR",
        -2 => "ZRUNTIMEINCONSISTENCY",
        -3 => "ZDATAINCONSISTENCY",
        -4 => "ZCONNECTIONLOSS",
        -5 => "ZMARSHALLINGERROR",
        -6 => "ZUNIMPLEMENTED",
        -7 => "ZOPERATIONTIMEOUT",
        -8 => "ZBADARGUMENTS",
        -9 => "ZINVALIDSTATE",
        -12 => "ZUNKNOWNSESSION",
        -13 => "ZNEWCONFIGNOQUORUM",
        -14 => "ZRECONFIGINPROGRESS",
        -100 => "ZAPIERROR",
        -101 => "ZNONODE",
        -102 => "ZNOAUTH",
        -103 => "ZBADVERSION",
        -108 => "ZNOCHILDRENFOREPHEMERALS",
        -110 => "ZNODEEXISTS",
        -111 => "ZNOTEMPTY",
        -112 => "ZSESSIONEXPIRED",
        -113 => "ZINVALIDCALLBACK",
        -114 => "ZINVALIDACL",
        -115 => "ZAUTHFAILED",
        -116 => "ZCLOSING",
        -117 => "ZNOTHING",
        -118 => "ZSESSIONMOVED",
        -119 => "ZNOTREADONLY",
        -120 => "ZEPHEMERALONLOCALSESSION",
        -121 => "ZNOWATCHER",
        -122 => "ZREQUESTTIMEOUT",
        -123 => "ZRECONFIGDISABLED",
        -124 => "ZSESSIONCLOSEDREQUIRESASLAUTH",
        -125 => "ZQUOTAEXCEEDED",
        -127 => "ZTHROTTLEDOP",
        _ => return None,
    })
}

/// Whether metrics count an error as failed: those of the system, and what is switched off. That a node is not there,
/// or already is, is an answer.
pub(super) fn is_failure(code: i32) -> bool {
    matches!(code, -9..=-1 | -123)
}

/// A word of four letters that the server answers with text and the end of the connection.
pub(super) fn four_letters(bytes: &[u8]) -> Option<&'static str> {
    const WORDS: [&str; 20] = [
        "ruok", "stat", "srvr", "mntr", "cons", "conf", "crst", "dump", "envi", "srst", "wchs", "wchc",
        "wchp", "dirs", "isro", "gtmk", "stmk", "hash", "lsnr", "icfg",
    ];
    let word = bytes.get(..4)?;
    WORDS.into_iter().find(|known| known.as_bytes() == word)
}

/// The length of a message, and what there is of it.
pub(super) fn length(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut cursor = Cursor::new(bytes);
    let length = u32::try_from(cursor.i32_be()?).unwrap_or(u32::MAX);
    Some((length, cursor.rest()))
}

/// The password in a connect request or response: where it begins in the message without its length, and its length.
/// None when it is no such message.
pub(super) fn password(side: Side, body: &[u8], length: u32) -> Option<(usize, usize)> {
    let mut cursor = Cursor::new(body);
    if cursor.i32_be()? != 0 {
        return None;
    }
    if side == Side::Client && cursor.i64_be()? < 0 {
        return None;
    }
    let timeout_ms = cursor.i32_be()?;
    cursor.i64_be()?;
    let password = usize::try_from(cursor.i32_be()?).ok()?;
    let fixed = cursor.place();
    let is_whole = |end: usize| u32::try_from(end).is_ok_and(|end| length == end || length == end + 1);
    let is_session = timeout_ms > 0 || (side == Side::Server && timeout_ms == 0);
    let fits = (password == PASSWORD_BYTES || password == 0) && is_whole(fixed + password);
    (is_session && fits && timeout_ms <= 86_400_000).then_some((fixed, password))
}

/// A request without its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head<'bytes> {
    pub(super) xid: i32,
    pub(super) operation: i32,
    pub(super) name: &'static str,
    pub(super) path: &'bytes [u8],
}

/// Reads the beginning of a request, and says how far it looks like one.
pub(super) fn request(body: &[u8], length: u32) -> Option<(Head<'_>, Shape)> {
    let mut cursor = Cursor::new(body);
    let (xid, operation) = (cursor.i32_be()?, cursor.i32_be()?);
    let (name, fields) = fields(operation)?;
    let is_its_xid = match operation {
        11 => xid == PING,
        100 => xid == AUTH,
        101 | 105 => xid == SET_WATCHES,
        _ => xid >= 0,
    };
    if !is_its_xid {
        return None;
    }
    let mut head = Head { xid, operation, name, path: b"" };
    let length = usize::try_from(length).ok()?;
    let shape = match fields {
        Fields::None => {
            if length == 8 {
                Shape::Whole
            } else {
                Shape::Other
            }
        }
        Fields::Path(tail) => {
            let path = path(&mut cursor, length)?;
            head.path = path.text;
            if path.end + tail == length { Shape::Whole } else { Shape::Other }
        }
        Fields::Data(tail, is_all) => {
            let path = path(&mut cursor, length)?;
            head.path = path.text;
            match cursor.i32_be().filter(|_| path.is_there) {
                Some(data) => {
                    let end = path.end + 4 + usize::try_from(data.max(0)).ok()? + tail;
                    let fits = if is_all { end == length } else { end <= length };
                    if data >= -1 && fits { Shape::Whole } else { Shape::Other }
                }
                None => Shape::Beginning,
            }
        }
        Fields::Rights => {
            let path = path(&mut cursor, length)?;
            head.path = path.text;
            match cursor.i32_be().filter(|_| path.is_there) {
                Some(rights) if !(-1..4096).contains(&rights) => Shape::Other,
                _ => Shape::Beginning,
            }
        }
        Fields::Requests => {
            let (first, is_last, error) = (cursor.i32_be()?, cursor.u8()?, cursor.i32_be()?);
            if error != -1 || is_last > 1 {
                return None;
            }
            if is_last == 0 {
                self::fields(first)?;
                head.path = path(&mut cursor, length)?.text;
            }
            Shape::Whole
        }
        Fields::Watches => {
            let (zxid, lists) = (cursor.i64_be()?, cursor.i32_be()?);
            if zxid >= 0 && (-1..1 << 20).contains(&lists) { Shape::Beginning } else { Shape::Other }
        }
        Fields::Credentials => {
            let scheme = scheme(body)?;
            if scheme.end() <= length { Shape::Whole } else { Shape::Other }
        }
        Fields::Token => match usize::try_from(cursor.i32_be()?.max(0)) {
            Ok(token) if 12 + token == length => Shape::Whole,
            _ => Shape::Other,
        },
        Fields::Servers => {
            for _ in 0..3 {
                let servers = cursor.i32_be().filter(|servers| *servers >= -1)?;
                cursor.take(usize::try_from(servers.max(0)).ok()?)?;
            }
            if cursor.place() + 8 == length { Shape::Whole } else { Shape::Other }
        }
    };
    (shape != Shape::Other).then_some((head, shape))
}

struct Path<'bytes> {
    text: &'bytes [u8],
    /// Where it ends in the message.
    end: usize,
    /// Whether all of it is there.
    is_there: bool,
}

/// A path, if it is one as far as it is there and does not go beyond the message.
fn path<'bytes>(cursor: &mut Cursor<'bytes>, length: usize) -> Option<Path<'bytes>> {
    let size = usize::try_from(cursor.i32_be()?).ok()?;
    let end = cursor.place() + size;
    let there = cursor.rest().get(..size.min(cursor.rest().len()))?;
    let is_path = there.first().is_none_or(|first| *first == b'/') && !there.iter().any(|byte| *byte < b' ');
    if size == 0 || size > LONGEST_PATH_BYTES || end > length || !is_path {
        return None;
    }
    let is_there = cursor.take(size).is_some();
    Some(Path { text: there.get(..MAX_PATH_BYTES.min(there.len()))?, end, is_there })
}

/// Where the scheme of an authentication is, and where its credential begins, once that is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scheme {
    pub(super) begin: usize,
    pub(super) length: usize,
}

impl Scheme {
    /// Where it ends, and the length of the credential begins.
    pub(super) fn end(self) -> usize {
        self.begin + self.length
    }
}

/// Reads where the scheme of an authentication is in a message without its length.
pub(super) fn scheme(body: &[u8]) -> Option<Scheme> {
    let mut cursor = Cursor::new(body);
    if cursor.i32_be()? != AUTH || cursor.i32_be()? != 100 {
        return None;
    }
    cursor.i32_be()?;
    let length = usize::try_from(cursor.i32_be()?).ok()?;
    (length <= 64).then_some(Scheme { begin: cursor.place(), length })
}

/// A reply's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) xid: i32,
    pub(super) error: i32,
}

/// Reads the header of a reply, and says how far it looks like one.
pub(super) fn reply(body: &[u8], length: u32) -> Option<(Reply, Shape)> {
    let mut cursor = Cursor::new(body);
    let (xid, zxid, error) = (cursor.i32_be()?, cursor.i64_be()?, cursor.i32_be()?);
    let is_known = error == 0 || self::error(error).is_some();
    if length < REPLY_HEADER_BYTES || zxid < -1 || !is_known {
        return None;
    }
    let is_alone = length == REPLY_HEADER_BYTES;
    let shape = match xid {
        PING | AUTH | SET_WATCHES => {
            if is_alone {
                Shape::Whole
            } else {
                Shape::Other
            }
        }
        EVENT => {
            let (kind, state) = (cursor.i32_be()?, cursor.i32_be()?);
            let path = usize::try_from(cursor.i32_be()?).ok()?;
            let fits = u32::try_from(cursor.place() + path).ok() == Some(length);
            if fits && (-2..16).contains(&kind) && (-2..16).contains(&state) {
                Shape::Whole
            } else {
                Shape::Other
            }
        }
        0.. if error != 0 => {
            if is_alone {
                Shape::Beginning
            } else {
                Shape::Other
            }
        }
        0.. => {
            let content = length - REPLY_HEADER_BYTES;
            let data = cursor.i32_be().and_then(|data| u32::try_from(data.max(0)).ok());
            let is_data = data.and_then(|data| data.checked_add(4 + STAT_BYTES)) == Some(content);
            if is_data || content == STAT_BYTES { Shape::Beginning } else { Shape::Header }
        }
        _ => Shape::Other,
    };
    (shape != Shape::Other).then_some((Reply { xid, error }, shape))
}

/// How far a message without its length looks like one of this protocol.
pub(super) fn shape(side: Side, body: &[u8], length: u32) -> Shape {
    if length > MAX_MESSAGE_BYTES {
        return Shape::Other;
    }
    if password(side, body, length).is_some() {
        return Shape::Whole;
    }
    match side {
        Side::Client => request(body, length).map_or(Shape::Other, |(_, shape)| shape),
        Side::Server => reply(body, length).map_or(Shape::Other, |(_, shape)| shape),
    }
}

/// The error of several operations at once, whose reply says none: that of the first that is not only undone because of
/// another one.
pub(super) fn error_of_several(body: &[u8]) -> i32 {
    const UNDONE: i32 = -2;
    let mut cursor = Cursor::new(body);
    if cursor.take(REPLY_HEADER_BYTES as usize).is_none() {
        return 0;
    }
    let mut found = 0;
    // When one fails, all have a result of this kind, and of the same length.
    while let (Some(-1), Some(0), Some(_), Some(error)) =
        (cursor.i32_be(), cursor.u8(), cursor.i32_be(), cursor.i32_be())
    {
        if error != 0 && error != UNDONE {
            return error;
        }
        found = if error == 0 { found } else { error };
    }
    found
}
