#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use proptest::prelude::*;

use super::join::has_timestamp;
use super::*;

const SECOND: UnixNanos = 1_000_000_000;

/// The messages of lines that come without a pause.
fn joined(text: &str) -> Vec<String> {
    let mut joiner = Joiner::default();
    let mut messages = Vec::new();
    let mut keep = |message: Message| messages.push(message.text);
    for (index, line) in text.lines().enumerate() {
        joiner.add(index as i64, line, None, &mut keep);
    }
    joiner.finish(&mut keep);
    messages
}

fn message(line: &str) -> Message {
    let mut messages = Vec::new();
    let mut joiner = Joiner::default();
    joiner.add(0, line, None, &mut |message| messages.push(message));
    joiner.finish(&mut |message| messages.push(message));
    assert_eq!(messages.len(), 1, "{line}");
    messages.remove(0)
}

/// Whether the lines between two of `---` are one message each.
fn assert_joined(groups: &str) {
    let groups: Vec<&str> = groups.trim_matches('\n').split("\n---\n").collect();
    let messages = joined(&groups.join("\n"));
    let wanted: Vec<&str> = groups.iter().map(|group| group.trim_end()).collect();
    assert_eq!(messages, wanted);
}

#[test]
fn a_python_traceback_belongs_to_the_error_that_was_logged_with_it() {
    assert_joined(
        "
ERROR:shop.orders:order 17 was not stored
Traceback (most recent call last):
  File \"/srv/shop/orders.py\", line 31, in store
    cursor.execute(statement)
psycopg2.OperationalError: server closed the connection unexpectedly

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File \"/srv/shop/views.py\", line 8, in post
    store(order)
shop.StoreError: order 17
---
INFO:shop.orders:order 18 was stored",
    );
}

#[test]
fn a_python_traceback_that_nobody_caught_is_a_message_by_itself() {
    assert_joined(
        "
2026-03-01 10:00:00 INFO worker started
---
Traceback (most recent call last):
  File \"worker.py\", line 3, in <module>
    main()
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"worker.py\", line 5, in <module>
    report()
NameError: name 'report' is not defined
---
worker ended",
    );
}

#[test]
fn a_java_stack_trace_with_its_causes_is_one_message() {
    assert_joined(
        "
2026-03-01 10:00:00.123 ERROR [main] c.e.Shop - cannot start
java.lang.IllegalStateException: no database
\tat com.example.Shop.start(Shop.java:21)
\tat com.example.Shop.main(Shop.java:9)
Caused by: java.net.ConnectException: Connection refused
\tat java.base/sun.nio.ch.Net.pollConnect(Native Method)
\t... 2 more
---
2026-03-01 10:00:00.200 INFO [main] c.e.Shop - bye
---
10:00:01 INFO next",
    );
    assert_joined(
        "
Exception in thread \"main\" java.lang.NullPointerException
\tat com.example.A.b(A.java:3)
Caused by: java.io.IOException: gone
\tat com.example.C.d(C.java:4)
---
Server stopped",
    );
}

#[test]
fn a_javascript_error_with_its_properties_is_one_message() {
    assert_joined(
        "
Error: connect ECONNREFUSED 127.0.0.1:5432
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1495:16) {
  errno: -111,
  code: 'ECONNREFUSED'
}
---
Listening on port 3000",
    );
}

#[test]
fn a_go_panic_with_all_its_goroutines_is_one_message() {
    assert_joined(
        "
2026/03/01 10:00:00 listening
---
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4a1]

goroutine 1 [running]:
main.(*Shop).Order(...)
\t/src/shop/main.go:12
main.main()
\t/src/shop/main.go:20 +0x1d

goroutine 7 [chan receive]:
main.worker(0xc0000140)
\t/src/shop/main.go:30 +0x25
created by main.main in goroutine 1
\t/src/shop/main.go:18 +0x3a
exit status 2
---
restarting",
    );
}

#[test]
fn after_a_line_with_a_time_only_another_such_line_begins_a_message() {
    assert_joined(
        "
2026-03-01 10:00:00 ERROR statement failed:
SELECT *
FROM orders
---
2026-03-01 10:00:01 INFO done",
    );
    assert_joined("one\n---\ntwo\n---\nthree");
}

#[test]
fn a_second_without_a_line_ends_a_message() {
    let mut joiner = Joiner::default();
    let mut messages = Vec::new();
    joiner.add(0, "panic: gone", None, &mut |message| messages.push(message.text));
    assert_eq!(joiner.deadline(), Some(SECOND));
    joiner.add(SECOND / 2, "\tat once", None, &mut |message| messages.push(message.text));
    joiner.flush(SECOND, &mut |message| messages.push(message.text));
    assert!(messages.is_empty());
    joiner.add(2 * SECOND, "\tlate", None, &mut |message| messages.push(message.text));
    assert_eq!(messages, ["panic: gone\n\tat once"]);
}

#[test]
fn a_message_grows_to_its_limit_and_no_further() {
    let mut joiner = Joiner::default();
    let mut messages = Vec::new();
    joiner.add(0, "Exception", None, &mut |_| unreachable!());
    for _ in 0..10_000 {
        joiner.add(0, "\tat com.example.Recursion.deeper(Recursion.java:17)", None, &mut |_| unreachable!());
    }
    joiner.finish(&mut |message| messages.push(message));
    assert_eq!((messages.len(), messages[0].is_cut), (1, true));
    assert!(messages[0].text.len() <= MESSAGE_BYTES);
}

#[test]
fn times_of_day_are_found_and_other_numbers_are_not_taken_for_them() {
    for line in [
        "10:00:00 a",
        "2026-03-01T10:00:00Z a",
        "Mar  1 10:00:00 host a",
        "10.0.0.1 - - [01/Mar/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
        "E0301 10:00:00.123456 1 a.go:1] a",
        "level=info ts=2026-03-01T10:00:00.1Z",
    ] {
        assert!(has_timestamp(line), "{line}");
    }
    for line in ["", "10:00", "link 00:16:35:52:60:00 is up", "10:0a:00", &format!("{:101}10:00:00", "")] {
        assert!(!has_timestamp(line), "{line}");
    }
}

#[test]
fn levels_are_guessed_from_what_loggers_write() {
    use Level::*;
    for (line, level) in [
        ("2026-03-01 10:00:00,123 ERROR [main] failed", Error),
        ("2026-03-01T10:00:00Z WARN shop::orders: slow", Warning),
        ("2026-03-01 10:00:00 [warning] slow", Warning),
        ("time=\"2026-03-01T10:00:00Z\" level=warning msg=slow", Warning),
        ("level=error ts=2026-03-01T10:00:00Z caller=main.go:1 err=\"no\"", Error),
        ("ERRO[0003] failed to dial", Error),
        ("FATA[0000] no configuration", Critical),
        ("INFO:root:started", Info),
        ("[2026-03-01 10:00:00] app.NOTICE: hello", Info),
        ("<CRIT> disk is full", Critical),
        ("10:00:00.000 [main] TRACE a.B - in", Debug),
        ("[10:00:00 INF] Now listening", Info),
        ("[10:00:00 FTL] Host terminated", Critical),
        ("dbg: cache miss", Debug),
        ("fail: Microsoft.AspNetCore[0]", Unknown),
        ("2026/03/01 10:00:00 [emerg] 1#1: bind() failed", Critical),
        ("ALERT: no space", Critical),
        ("I0301 10:00:00.000000 1 main.go:7] up", Info),
        ("W0301 10:00:00.000000 1 main.go:7] slow", Warning),
        ("E0301 10:00:00.000000 1 main.go:7] failed", Error),
        ("F0301 10:00:00.000000 1 main.go:7] gone", Critical),
        ("1:M 01 Mar 2026 10:00:00.000 # Server initialized", Warning),
        ("1:M 01 Mar 2026 10:00:00.000 * Ready to accept connections", Info),
        ("1:C 01 Mar 2026 10:00:00.000 . details", Debug),
        ("one two three four five six seven error", Unknown),
        ("Traceback (most recent call last):", Unknown),
        ("", Unknown),
    ] {
        assert_eq!(Level::guess(line), level, "{line}");
    }
}

#[test]
fn json_logs_say_their_level_and_message_in_the_keys_of_their_library() {
    use Level::*;
    for (line, level, essence) in [
        // slog
        (
            r#"{"time":"2026-03-01T10:00:00Z","level":"ERROR+2","msg":"no route","host":"a"}"#,
            Error,
            "no route",
        ),
        // zap
        (r#"{"level":"dpanic","ts":1.5,"caller":"a.go:1","msg":"odd"}"#, Unknown, "odd"),
        (r#"{"level":"warn","ts":1.5,"caller":"a.go:1","msg":"slow"}"#, Warning, "slow"),
        // logrus
        (r#"{"level":"fatal","msg":"gone","time":"2026-03-01T10:00:00Z"}"#, Critical, "gone"),
        // .NET
        (r#"{"EventId":14,"LogLevel":"Information","Category":"H","Message":"up","State":{}}"#, Info, "up"),
        // Serilog's compact format
        (r#"{"@t":"2026-03-01T10:00:00Z","@mt":"Hello {User}","User":"a"}"#, Info, "Hello {User}"),
        (
            r#"{"@t":"2026-03-01T10:00:00Z","@m":"Hello a","@mt":"Hello {User}","@l":"Warning"}"#,
            Warning,
            "Hello a",
        ),
        // pino
        (r#"{"level":50,"time":1,"pid":7,"hostname":"h","msg":"refused"}"#, Error, "refused"),
        (r#"{"level":10,"msg":"in"}"#, Debug, "in"),
        // Python's
        (r#"{"levelname":"CRITICAL","message":"gone"}"#, Critical, "gone"),
        // Elastic Common Schema, both ways
        (r#"{"log.level":"error","message":"no"}"#, Error, "no"),
        (r#"{"log":{"level":"error"},"message":"no"}"#, Error, "no"),
        // The first key counts, whatever the order in the line.
        (r#"{"body":"b","message":"m","severity":"debug","level":"warn"}"#, Warning, "m"),
        // Without a level the message is asked.
        (r#"{"msg":"error: no route"}"#, Error, "error: no route"),
        (r#"{"a":1}"#, Unknown, r#"{"a":1}"#),
        // No JSON object as a whole.
        (r#"{"level":"error","msg":"cut"#, Error, r#"{"level":"error","msg":"cut"#),
        (r#"prefix {"level":"error"}"#, Error, r#"prefix {"level":"error"}"#),
    ] {
        let message = message(line);
        assert_eq!((message.level(), message.essence()), (level, essence), "{line}");
    }
}

#[test]
fn a_json_line_is_a_message_by_itself_even_after_a_line_with_a_time() {
    assert_joined("10:00:00 begin\n---\n{\"msg\":\"a\"}\n---\n{\"msg\":\"b\"}\n---\n10:00:00 end");
}

#[test]
fn the_journals_priority_is_the_level() {
    let mut levels = Vec::new();
    let mut joiner = Joiner::default();
    for priority in 0..=8 {
        joiner.add(0, "ERROR", Some(priority), &mut |_| ());
        joiner.finish(&mut |message| levels.push(message.level().word()));
    }
    let wanted = ["critical", "critical", "critical", "error", "warning", "info", "info", "debug", "unknown"];
    assert_eq!(levels, wanted);
}

fn words(text: &str) -> String {
    Pattern::of(text).words().join(" ")
}

#[test]
fn a_pattern_is_the_words_without_data() {
    for (text, pattern) in [
        ("failed to connect to 10.0.0.5:5432", "failed to connect to"),
        ("user \"alice\" not found in 'eu west'", "user not found in"),
        ("can't open file (errno 2) [worker 7]", "open file"),
        ("request 550e8400-e29b-41d4-a716-446655440000 timed out after 30s", "request timed out after"),
        ("at 0x7ffe12 in deadbeef12 of worker17: added;", "at in of worker added"),
        ("got {\"b\": [1, (2)]} and more", "got and more"),
        ("not closed ( bracket and \" quote", "not closed bracket and quote"),
        ("nested [a [b] c] end", "nested end"),
        ("Соединение 17 прервано", "Соединение прервано"),
        ("-- .. __ 42 x", ""),
        ("orders_total order-service v1.2.3", "orders_total order-service v.."),
    ] {
        assert_eq!(words(text), pattern, "{text}");
    }
}

#[test]
fn the_hash_of_a_pattern_is_the_md5_of_its_words() {
    // printf 'failed to connect to' | md5sum
    assert_eq!(
        &*Pattern::of("failed to connect to 10.0.0.5:5432").hash(),
        "65cada140bbd95ab1e0d7237a4ee672f"
    );
}

fn counted(patterns: &mut Patterns, line: &str, limit: usize) -> Counted {
    patterns.count(&message(line), limit, |text| text.into())
}

#[test]
fn patterns_that_differ_in_a_word_are_one_but_not_those_of_a_single_word() {
    let mut patterns = Patterns::default();
    let first = counted(&mut patterns, "ERROR connection to alpha refused", 9);
    let other = counted(&mut patterns, "ERROR connection to beta refused", 9);
    let third = counted(&mut patterns, "ERROR connection from beta lost", 9);
    assert_eq!(first.pattern_hash, other.pattern_hash);
    assert_ne!(first.pattern_hash, third.pattern_hash);
    let one = counted(&mut patterns, "ERROR", 9);
    let two = counted(&mut patterns, "Errored", 9);
    assert_ne!(one.pattern_hash, two.pattern_hash);
    assert_eq!(patterns.iter().map(|(.., messages)| messages).collect::<Vec<_>>(), [2, 1, 1, 1]);
}

#[test]
fn patterns_beyond_the_limit_of_their_level_are_put_together() {
    let mut patterns = Patterns::default();
    for line in ["ERROR red apple falls down", "ERROR green pear hangs up", "ERROR blue plum lies there"] {
        counted(&mut patterns, line, 1);
    }
    counted(&mut patterns, "WARN some other thing happened", 1);
    let rows: Vec<_> = patterns
        .iter()
        .map(|(level, hash, sample, messages)| (level, hash.to_string(), sample.to_string(), messages))
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[1], (Level::Error, UNCLASSIFIED_HASH.into(), UNCLASSIFIED_SAMPLE.into(), 2));
    assert_eq!((rows[2].0, rows[2].3), (Level::Warning, 1));
}

#[test]
fn levels_below_warning_have_one_count_without_pattern() {
    let mut patterns = Patterns::default();
    for line in ["INFO a b c", "INFO d e f", "no level", "DEBUG g"] {
        counted(&mut patterns, line, 256);
    }
    let rows: Vec<_> =
        patterns.iter().map(|(level, hash, _, messages)| (level, hash.len(), messages)).collect();
    assert_eq!(rows, [(Level::Info, 0, 2), (Level::Debug, 0, 1), (Level::Unknown, 0, 1)]);
}

fn log_text() -> impl Strategy<Value = String> {
    let pieces = [
        "Traceback (most recent call last):",
        "panic: x",
        "  at a",
        "\tb",
        "}",
        "{",
        "\"",
        "'",
        "(",
        ")",
        "[",
        "]",
        "10:00:00",
        "ERROR",
        "goroutine 1 [running]:",
        "main.f(1)",
        "Caused by: y",
        "{\"msg\":\"a\",\"level\":50}",
        "",
        "During handling of the above exception",
        "größer",
        "0x1f",
        "\n",
        " ",
        "17",
        "\\",
    ];
    proptest::collection::vec(prop_oneof![4 => proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => any::<String>()], 0..20)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in log_text()) {
        let _ = (Level::guess(&text), has_timestamp(&text), Pattern::of(&text).hash(), Level::of_name(&text));
        let _ = json::parse(&text);
    }

    #[test]
    fn every_line_that_is_not_blank_is_in_exactly_one_message(lines in proptest::collection::vec((log_text(), 0..2_000_000_000_i64), 0..30)) {
        let mut joiner = Joiner::default();
        let mut messages = Vec::new();
        let mut time = 0;
        let mut wanted = Vec::new();
        for (line, pause) in &lines {
            time += pause;
            joiner.add(time, line, None, &mut |message: Message| messages.push(message.text));
            wanted.extend(line.split_whitespace().map(str::to_owned));
        }
        joiner.finish(&mut |message| messages.push(message.text));
        let found: Vec<String> = messages.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn numbers_and_quoted_names_do_not_change_a_pattern(numbers in proptest::collection::vec(any::<u32>(), 3), name in "[a-z ]{1,20}") {
        let line = |a: u32, b: u32, name: &str| format!("request {a} of \"{name}\" failed after {b}ms (try {a})");
        let one = Pattern::of(&line(numbers[0], numbers[1], &name)).hash();
        prop_assert_eq!(one, Pattern::of(&line(numbers[2], numbers[0], "bob")).hash());
    }

    #[test]
    fn a_pattern_is_stable(text in log_text()) {
        prop_assert_eq!(Pattern::of(&text).hash(), Pattern::of(&text).hash());
    }
}
