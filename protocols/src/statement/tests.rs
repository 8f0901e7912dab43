use proptest::prelude::*;

use super::{Dialect, MAX_NORMALISED_BYTES, normalise, summary};

fn shape(dialect: Dialect, text: &str) -> String {
    String::from_utf8_lossy(&normalise(dialect, text.as_bytes())).into_owned()
}

fn postgres(text: &str) -> String {
    shape(Dialect::Postgres, text)
}

fn mysql(text: &str) -> String {
    shape(Dialect::MySql, text)
}

fn name(text: &str) -> String {
    String::from_utf8_lossy(&summary(Dialect::Postgres, text.as_bytes()).name()).into_owned()
}

#[test]
fn literals_become_question_marks_and_names_stay() {
    assert_eq!(
        postgres("SELECT \"Id\", t1.a2 FROM t1 WHERE name = 'O''Brien' AND n > -1.5e-3 AND f = .5;"),
        "SELECT \"Id\", t1.a2 FROM t1 WHERE name = ? AND n > ? AND f = ?"
    );
    assert_eq!(postgres("SELECT E'a\\'b', $$it's$$, $x$ $$ $x$, B'01', X'ff', 0xFF"), "SELECT ?");
    assert_eq!(
        postgres("UPDATE t SET a = $1, b = $12 WHERE c - 5 = a-5"),
        "UPDATE t SET a = ?, b = ? WHERE c - ? = a-?"
    );
    assert_eq!(postgres("SELECT 'a\\' , 'b'"), "SELECT ?");
    assert_eq!(
        mysql("SELECT `a``1`, \"bo\\\"b\" FROM t WHERE x = 'a\\'b' AND y = _utf8'é' # 'c'\n AND z = 1"),
        "SELECT `a``1`, ? FROM t WHERE x = ? AND y = _utf8? AND z = ?"
    );
    assert_eq!(
        postgres("SELECT '{1,2}'::int[], date '2020-01-01', ARRAY[1,2]"),
        "SELECT ?::int[], date ?, ARRAY[?]"
    );
}

#[test]
fn lists_and_rows_are_one() {
    assert_eq!(
        postgres("SELECT 1 FROM t WHERE a IN (1, 2,\n 3) AND b IN ('x')"),
        "SELECT ? FROM t WHERE a IN (?) AND b IN (?)"
    );
    assert_eq!(
        postgres("SELECT * FROM t WHERE (a, b) IN ((1, 2), (3, -4))"),
        "SELECT * FROM t WHERE (a, b) IN ((?))"
    );
    assert_eq!(
        mysql(
            "INSERT INTO t (a, b) VALUES (1, NULL), (2,'x'),(3, true) ON DUPLICATE KEY UPDATE a=VALUES(a), b=VALUES(b)"
        ),
        "INSERT INTO t (a, b) VALUES (?) ON DUPLICATE KEY UPDATE a=VALUES(a), b=VALUES(b)"
    );
    assert_eq!(
        postgres("INSERT INTO t VALUES (1, now(), 'a'), (2, now(), 'b') RETURNING id"),
        "INSERT INTO t VALUES (?, now(), ?) RETURNING id"
    );
    assert_eq!(
        postgres("SELECT a IS NULL, TRUE FROM t LIMIT 10 OFFSET 20"),
        "SELECT a IS NULL, ? FROM t LIMIT ? OFFSET ?"
    );
}

#[test]
fn comments_and_blanks_go() {
    assert_eq!(postgres("/* id=7 /* nested */ */ SELECT\t1 -- user 'bob'\n\n, 2 ;  "), "SELECT ?");
    assert_eq!(postgres("SELECT a/* 'x */FROM b"), "SELECT a FROM b");
    assert_eq!(mysql("/*!40101 SET NAMES utf8 */"), "");
}

#[test]
fn of_a_cut_text_no_half_literal_is_left() {
    assert_eq!(postgres("SELECT * FROM t WHERE a = 'secr"), "SELECT * FROM t WHERE a = ?");
    assert_eq!(postgres("SELECT * FROM t WHERE a = $$secr$"), "SELECT * FROM t WHERE a = ?");
    assert_eq!(postgres("SELECT 1 /* secr"), "SELECT ?");
    assert_eq!(mysql("SELECT \"secr"), "SELECT ?");
    let long = format!("SELECT {} FROM t", "column_name, ".repeat(1000));
    assert!(postgres(&long).len() <= MAX_NORMALISED_BYTES);
}

#[test]
fn a_summary_is_operation_and_first_table() {
    for (text, expected) in [
        ("select * from orders o join users u on true", "SELECT orders"),
        ("SELECT extract(year from ts), (SELECT 1) FROM \"My\".\"Orders\"", "SELECT My.Orders"),
        ("SELECT count(*) FROM (SELECT a FROM inner_one) x", "SELECT inner_one"),
        ("SELECT 1", "SELECT"),
        ("(SELECT a FROM b) UNION (SELECT c FROM d)", "SELECT b"),
        ("insert into public.users (a) values (1)", "INSERT public.users"),
        ("UPDATE ONLY t SET a = 1", "UPDATE t"),
        ("DELETE FROM t WHERE 1 = 1", "DELETE t"),
        ("WITH a AS (SELECT 1 FROM z), b AS (SELECT 2) INSERT INTO t SELECT 1", "INSERT t"),
        ("/* app */ BEGIN; SELECT a FROM b", "BEGIN"),
        ("CREATE TEMP TABLE IF NOT EXISTS t (a int)", "CREATE TABLE t"),
        ("DROP VIEW v", "DROP VIEW v"),
        ("ALTER ROLE bob PASSWORD 'x'", "ALTER ROLE"),
        ("COPY t FROM STDIN", "COPY t"),
        ("TRUNCATE TABLE a, b", "TRUNCATE a"),
        ("CALL f(1)", "CALL f"),
        ("EXECUTE stmt_4711", "EXECUTE"),
        ("SET a = 1", "SET"),
        ("nonsense 4711", ""),
        ("'x'", ""),
        ("", ""),
        ("SELECT * FROM", "SELECT"),
        ("SELECT * FROM a.", "SELECT a"),
    ] {
        assert_eq!(name(text), expected, "{text}");
    }
}

/// Whether each digit belongs to a name.
fn has_no_digit_alone(dialect: Dialect, text: &[u8]) -> bool {
    let mut in_word = false;
    let mut quote = None;
    for byte in text {
        match (quote, byte) {
            (Some(open), byte) => {
                if open == *byte {
                    quote = None;
                }
                in_word = false;
            }
            (None, b'"') => quote = Some(*byte),
            (None, b'`') if dialect != Dialect::Postgres => quote = Some(*byte),
            (None, b'0'..=b'9') if !in_word => return false,
            (None, byte) => in_word = super::tokens::is_in_word(*byte),
        }
    }
    true
}

fn dialects() -> impl Strategy<Value = Dialect> {
    prop::sample::select(vec![Dialect::Postgres, Dialect::MySql, Dialect::ClickHouse, Dialect::Cql])
}

fn statements() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 44] = [
        "SELECT", " ", "\n", ",", "(", ")", "VALUES", "1", "'a'", "'", "''", "\"", "\"x\"", "`", "`y`", "$$",
        "$1", "$t$", "--", "-", "+", "/*", "*/", "#", "?", "E'", "\\", "0x1f", "1.5e-3", ".", ".5", "NULL",
        "TRUE", "IN", "a1", "é", ";", "=", "::", ":", "/", "*", "//", "x'",
    ];
    prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40)
        .prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_shape_has_no_literals_is_no_longer_and_stays(
        dialect in dialects(),
        text in prop_oneof![statements(), prop::collection::vec(any::<u8>(), 0..60)],
    ) {
        let once = normalise(dialect, &text);
        prop_assert!(once.len() <= text.len());
        let twice = normalise(dialect, &once);
        prop_assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once));
        // Backslashes in names are more than the check knows.
        if !once.contains(&b'\\') {
            prop_assert!(has_no_digit_alone(dialect, &once), "{}", String::from_utf8_lossy(&once));
        }
        summary(dialect, &text);
    }

    #[test]
    fn strings_and_numbers_are_never_left(dialect in dialects(), number in 100_000_u32.., text in "[a-z]{8}") {
        let statement = format!("SELECT a FROM t WHERE b = {number} AND c IN ('{text}', {number}) LIMIT {number}");
        let once = String::from_utf8_lossy(&normalise(dialect, statement.as_bytes())).into_owned();
        prop_assert_eq!(once, "SELECT a FROM t WHERE b = ? AND c IN (?) LIMIT ?");
        for length in 0..statement.len() {
            let cut = normalise(dialect, statement.as_bytes().get(..length).unwrap_or_default());
            prop_assert!(!cut.iter().any(u8::is_ascii_digit));
        }
    }
}

#[test]
fn what_protocols_say_of_statements_has_no_literals() {
    for (protocol, text, shape) in [
        ("postgres", "SELECT $$a$$ FROM t WHERE n = 5", "SELECT ? FROM t WHERE n = ?"),
        ("clickhouse", "SELECT * FROM `t` WHERE a = 'it\\'s'", "SELECT * FROM `t` WHERE a = ?"),
        ("cassandra", "SELECT * FROM t WHERE a = 'b' // c", "SELECT * FROM t WHERE a = ?"),
        ("redis", "SET basket:7 milk", "SET basket:7 ?"),
        ("memcached", "set basket:7", "set basket:7"),
        // Their codecs leave values out.
        (
            "mongo",
            "{\"find\": \"t\", \"filter\": {\"a\": \"?\"}}",
            "{\"find\": \"t\", \"filter\": {\"a\": \"?\"}}",
        ),
        ("zookeeper", "getData /a", "getData /a"),
    ] {
        let without = |text: &[u8]| {
            crate::catalogue::find(protocol).map(|known| known.statement_without_literals(text).into_owned())
        };
        assert_eq!(without(text.as_bytes()).as_deref(), Some(shape.as_bytes()), "{protocol}");
        assert_eq!(without(shape.as_bytes()).as_deref(), Some(shape.as_bytes()), "{protocol}, again");
    }
}
