//! What is wanted of a message.

use super::layout::Found;

/// The identifier of a topic.
pub(super) type TopicId = [u8; 16];

/// What the walk over a message found.
#[derive(Debug, Default)]
pub(super) struct Findings<'bytes> {
    pub(super) topics: Option<u64>,
    pub(super) topic: Option<&'bytes [u8]>,
    pub(super) topic_id: Option<TopicId>,
    pub(super) group: Option<&'bytes [u8]>,
    pub(super) acks: Option<i16>,
    pub(super) error: Option<i16>,
}

impl<'bytes> Findings<'bytes> {
    /// Adds what the walk came by: of several topics none, of errors the first.
    pub(super) fn add(&mut self, found: Found<'bytes>) {
        match found {
            Found::Topics(count) => {
                self.topics.get_or_insert(count);
            }
            Found::Topic(name) if self.topics == Some(1) => {
                self.topic.get_or_insert(name);
            }
            Found::TopicId(id) if self.topics == Some(1) && id != [0; 16] => {
                self.topic_id.get_or_insert(id);
            }
            Found::Group(group) => {
                self.group.get_or_insert(group);
            }
            Found::Acks(acks) => self.acks = Some(acks),
            Found::Error(code) if code != 0 => {
                self.error.get_or_insert(code);
            }
            Found::Topic(_) | Found::TopicId(_) | Found::Error(_) => {}
        }
    }
}

/// A topic's identifier as Kafka's tools write it: in the alphabet of base64 for addresses, without padding.
pub(super) fn text_of_id(id: TopicId) -> [u8; 22] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = u128::from_be_bytes(id);
    let mut text = [b'A'; 22];
    for (place, letter) in text.iter_mut().enumerate() {
        // 128 bits are 21 letters and two bits.
        let shift = 122_usize.checked_sub(6 * place);
        let bits = shift.map_or(number << 4, |shift| number >> shift) & 63;
        *letter = ALPHABET.get(usize::try_from(bits).unwrap_or_default()).copied().unwrap_or(b'-');
    }
    text
}
