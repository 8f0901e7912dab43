//! The bytes of echo requests and answers, ICMP and ICMPv6.

/// Length of a message. With its headers a frame is longer than the least that Ethernet carries, so nothing is
/// appended to it and it can be found from the end of a packet, whatever stands before it.
pub(super) const MESSAGE_BYTES: usize = 64;
const TOKEN_AT: usize = 8;

/// The two protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

/// Which of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Reply,
}

impl Family {
    /// The message type of RFC 792 and RFC 4443.
    fn number(self, kind: Kind) -> u8 {
        match (self, kind) {
            (Self::V4, Kind::Request) => 8,
            (Self::V4, Kind::Reply) => 0,
            (Self::V6, Kind::Request) => 128,
            (Self::V6, Kind::Reply) => 129,
        }
    }
}

/// What tells the messages of one round apart from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    /// The sender.
    pub(super) identifier: u16,
    /// Differs from round to round.
    pub(super) token: u64,
}

impl Round {
    /// A request. The kernel fills in the checksum of ICMPv6.
    pub(super) fn request(self, family: Family, sequence: u16) -> [u8; MESSAGE_BYTES] {
        let mut message = [0; MESSAGE_BYTES];
        let fields: [(usize, &[u8]); 4] = [
            (0, &[family.number(Kind::Request)]),
            (4, &self.identifier.to_be_bytes()),
            (6, &sequence.to_be_bytes()),
            (TOKEN_AT, &self.token.to_be_bytes()),
        ];
        for (at, field) in fields {
            put(&mut message, at, field);
        }
        if family == Family::V4 {
            let sum = checksum(&message);
            put(&mut message, 2, &sum.to_be_bytes());
        }
        message
    }

    /// The sequence number of this round's message of this kind at the end of a packet.
    pub(super) fn sequence(self, family: Family, kind: Kind, packet: &[u8]) -> Option<u16> {
        let message = packet.get(packet.len().checked_sub(MESSAGE_BYTES)?..)?;
        let is_ours = message.starts_with(&[family.number(kind), 0])
            && message.get(4..6)? == self.identifier.to_be_bytes()
            && message.get(TOKEN_AT..TOKEN_AT + 8)? == self.token.to_be_bytes();
        is_ours.then_some(u16::from_be_bytes(message.get(6..8)?.try_into().ok()?))
    }
}

fn put(message: &mut [u8; MESSAGE_BYTES], at: usize, field: &[u8]) {
    if let Some(place) = message.get_mut(at..at + field.len()) {
        place.copy_from_slice(field);
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => u32::from(u16::from_be_bytes([high, low])),
            [high] => u32::from(high) << 8,
            _ => 0,
        })
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUND: Round = Round { identifier: 0x1234, token: 0xfeed };

    fn answer(family: Family, sequence: u16) -> Vec<u8> {
        let mut message = ROUND.request(family, sequence).to_vec();
        if let Some(first) = message.first_mut() {
            *first = family.number(Kind::Reply);
        }
        message
    }

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        // The example of RFC 1071, section 3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&ROUND.request(Family::V4, 7)), 0, "a sum over a whole message is 0");
    }

    #[test]
    fn a_message_is_found_behind_any_headers() {
        for family in [Family::V4, Family::V6] {
            for headers in [0, 20, 34, 54] {
                let mut packet = vec![0xaa; headers];
                packet.extend(answer(family, 513));
                assert_eq!(ROUND.sequence(family, Kind::Reply, &packet), Some(513));
                assert_eq!(ROUND.sequence(family, Kind::Request, &packet), None);
            }
        }
    }

    #[test]
    fn messages_of_others_and_of_earlier_rounds_are_not_ours() {
        let packet = answer(Family::V4, 1);
        for other in [Round { token: 1, ..ROUND }, Round { identifier: 1, ..ROUND }] {
            assert_eq!(other.sequence(Family::V4, Kind::Reply, &packet), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ROUND.sequence(Family::V4, Kind::Reply, &bytes);
            let _ = ROUND.sequence(Family::V6, Kind::Request, &bytes);
        }
    }
}
