//! The fields of one message, as far as they were read.

use super::fields::Header;

/// What the fields of a head say.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Those that mean something here.
    pub(super) values: Vec<(Header, Vec<u8>)>,
    pub(super) has_pseudo: bool,
    /// A name was not known.
    pub(super) has_unknown: bool,
    /// All of it was read.
    pub(super) is_whole: bool,
}

impl Head {
    /// A field; nothing when it is not there.
    pub(super) fn get(&self, header: Header) -> &[u8] {
        let found = self.values.iter().find(|(name, _)| *name == header);
        found.map(|(_, value)| value.as_slice()).unwrap_or_default()
    }

    /// Whether the message is one of gRPC; none when the field that says so may not have been read.
    pub(super) fn is_grpc(&self) -> Option<bool> {
        let is_grpc = self.get(Header::ContentType).starts_with(b"application/grpc");
        // Calls are posted.
        let is_other = !matches!(self.get(Header::Method), b"" | b"POST");
        (is_grpc || is_other || (self.is_whole && !self.has_unknown)).then_some(is_grpc)
    }

    /// A field that is a number.
    pub(super) fn number<T: std::str::FromStr>(&self, header: Header) -> Option<T> {
        std::str::from_utf8(self.get(header)).ok()?.parse().ok()
    }
}
