//! Cheap pieces of the kernel's text files: fields and numbers, from bytes that may be anything.

/// The number that `bytes` are in decimal; `None` for anything else.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// The same for what fits 32 bits.
pub(crate) fn number_u32(bytes: &[u8]) -> Option<u32> {
    u32::try_from(number(bytes)?).ok()
}

/// Fields between blanks.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// Lines without their ends.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The number after `key` in a file of lines `key number`, as cpu.stat and memory.stat are.
pub(crate) fn keyed_number(text: &[u8], key: &[u8]) -> Option<u64> {
    lines(text).find_map(|line| {
        let mut fields = fields(line);
        (fields.next() == Some(key)).then(|| fields.next().and_then(number)).flatten()
    })
}

/// Text from bytes; what is not UTF-8 is replaced.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Undoes the octal escapes (`\040`) of mountinfo.
pub(crate) fn unescape(field: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal =
            tail.get(..3).filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(digits) = octal {
            let value = digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            bytes.push(u8::try_from(value & 0xff).unwrap_or_default());
            rest = tail.get(3..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    lossy(&bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for not_a_number in [&b""[..], b"-1", b"1 ", b"18446744073709551616", b"max"] {
            assert_eq!(number(not_a_number), None);
        }
    }

    #[test]
    fn a_mount_point_with_a_blank_is_unescaped() {
        assert_eq!(unescape(br"/mnt/a\040b\\134"), r"/mnt/a b\\");
        assert_eq!(unescape(br"/mnt\04"), r"/mnt\04");
    }

    #[test]
    fn a_key_is_matched_whole() {
        assert_eq!(keyed_number(b"total_rss_huge 1\ntotal_rss 2\n", b"total_rss"), Some(2));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_pieces_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (number(&bytes), number_u32(&bytes), unescape(&bytes), keyed_number(&bytes, b"a"));
            prop_assert!(fields(&bytes).count() <= bytes.len());
        }

        #[test]
        fn a_number_reads_back(value: u64) {
            prop_assert_eq!(number(value.to_string().as_bytes()), Some(value));
        }
    }
}
