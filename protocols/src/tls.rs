//! TLS from outside: only that it is.

/// Whether a call begins with a TLS record (RFC 8446 5.1): handshake, alert, application data or change of cipher, in a
/// version that was ever used, with a length that a record may have.
pub fn is_record(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=23, 3, 0..=4, high, low, ..] if u16::from_be_bytes([*high, *low]) <= (1 << 14) + 2048)
}

/// Whether a call begins with the first message of a client (RFC 8446 4.1.2).
pub fn is_client_hello(bytes: &[u8]) -> bool {
    is_record(bytes) && matches!(bytes, [22, _, _, _, _, 1, ..])
}

#[cfg(test)]
mod tests {
    use super::{is_client_hello, is_record};

    #[test]
    fn handshakes_and_data_are_records_and_texts_are_not() {
        assert!(is_record(&[22, 3, 1, 2, 0, 1, 0]));
        assert!(is_record(&[23, 3, 3, 0, 64, 9]));
        assert!(is_client_hello(&[22, 3, 1, 2, 0, 1, 0]) && !is_client_hello(&[23, 3, 3, 0, 64, 1]));
        assert!(!is_record(b"GET / HTTP/1.1"));
        assert!(!is_record(&[22, 3, 3, 0xff, 0xff]));
    }
}
