//! What is read of a statement.

/// What a statement does: its first word behind comments.
pub(super) fn operation(statement: &[u8]) -> Option<&'static str> {
    const KNOWN: [&str; 32] = [
        "SELECT", "INSERT", "WITH", "CREATE", "ALTER", "DROP", "SHOW", "DESCRIBE", "DESC", "EXISTS",
        "OPTIMIZE", "SYSTEM", "SET", "USE", "EXPLAIN", "RENAME", "TRUNCATE", "DELETE", "UPDATE", "GRANT",
        "REVOKE", "KILL", "ATTACH", "DETACH", "CHECK", "BACKUP", "RESTORE", "WATCH", "UNDROP", "EXCHANGE",
        "BEGIN", "COMMIT",
    ];
    let mut rest = statement.trim_ascii_start();
    loop {
        let end: &[u8] = match rest {
            [b'-', b'-', ..] => b"\n",
            [b'/', b'*', ..] => b"*/",
            [b'(', inner @ ..] => {
                rest = inner.trim_ascii_start();
                continue;
            }
            _ => break,
        };
        let place = rest.windows(end.len()).position(|window| window == end)?;
        rest = rest.get(place + end.len()..)?.trim_ascii_start();
    }
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let word = rest.get(..length)?;
    KNOWN.into_iter().find(|known| known.as_bytes().eq_ignore_ascii_case(word))
}
