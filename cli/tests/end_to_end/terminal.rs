//! What is shown on a terminal, and what is not shown elsewhere. The terminal is a pseudo terminal of script(1).

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{AFTERTRACE, needs_recording, record};

/// Nothing that is waited for takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The prompt asks the terminal to mark what is pasted while it reads a line.
const READS_A_LINE: &str = "\x1b[?2004h";

/// A program on a terminal.
pub struct Terminal {
    script: Child,
    screen: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    /// Runs a program with these environment variables.
    pub fn run(words: &[&str], environment: &[(&str, &str)]) -> Self {
        let quoted: Vec<String> =
            words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        let mut script = Command::new("script")
            .args([
                "--quiet",
                "--return",
                "--flush",
                "--command",
                &format!("exec {}", quoted.join(" ")),
                "/dev/null",
            ])
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = script.stdout.take().unwrap();
        let screen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let shared = std::sync::Arc::clone(&screen);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                shared.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { script, screen, reader: Some(reader) }
    }

    /// All that was shown until now.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until this was shown so many times.
    pub fn wait_for_count(&self, words: &str, count: usize) {
        let began = Instant::now();
        while self.screen().matches(words).count() < count {
            assert!(began.elapsed() < PATIENCE, "`{words}` never came {count} times: {}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until this was shown.
    pub fn wait_for(&self, words: &str) {
        self.wait_for_count(words, 1);
    }

    /// Types keys.
    pub fn type_in(&mut self, keys: &str) {
        let stdin = self.script.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits for the end: the exit code, and all that was shown.
    pub fn end(mut self) -> (i32, String) {
        let stdin = self.script.stdin.take();
        let code = self.script.wait().unwrap().code().unwrap();
        drop(stdin);
        self.reader.take().unwrap().join().unwrap();
        (code, self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.script.kill();
    }
}

#[test]
fn a_live_line_shows_time_events_bytes_and_losses() {
    needs_recording!();
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace");
    let terminal = Terminal::run(
        &[AFTERTRACE, "record", "-o", trace.to_str().unwrap(), "--", "/bin/sleep", "2.2"],
        &[("NO_COLOR", "1")],
    );
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    let (_, line) = screen.split_once("\r\x1b[Krecording 00:00:0").unwrap_or_else(|| panic!("{screen:?}"));
    let line = line.split('\r').next().unwrap();
    for part in [" events/s  ", " KiB on disk  ", "nothing lost"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!screen.contains("\x1b[1") && !screen.contains("\x1b[3"), "no colours: {screen:?}");
    assert!(screen.contains("\r\x1b[Krecorded "), "the line is gone in the end: {screen:?}");
}

#[test]
fn elsewhere_nothing_has_control_codes() {
    needs_recording!();
    let command = ["/bin/sleep", "1.2"].map(str::to_owned);
    let trace = record(&[], &command);
    assert!(!trace.output.stderr.contains(&0x1b) && !trace.output.stderr.contains(&b'\r'));
    let path = trace.path();
    for verb in [&[][..], &["info"], &["verify"], &["metrics"]] {
        let output = Command::new(AFTERTRACE).arg("analyze").args(verb).arg(&path).output().unwrap();
        assert!(!output.stdout.contains(&0x1b) && output.stderr.is_empty(), "{verb:?}");
    }
}

#[test]
fn errors_are_red_on_a_terminal_unless_no_color_is_set() {
    let words = [AFTERTRACE, "analyze", "/no/such/trace"];
    let (code, screen) = Terminal::run(&words, &[]).end();
    assert_eq!(code, 1);
    assert!(screen.contains("\x1b[1;31merror:\x1b[0m /no/such/trace"), "{screen:?}");
    let (_, screen) = Terminal::run(&words, &[("NO_COLOR", "1")]).end();
    assert!(screen.starts_with("error: /no/such/trace"), "{screen:?}");
}

fn sample() -> String {
    format!("{}/../sample-traces/storm/trace.tar", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_prompt_edits_completes_remembers_and_outlives_errors() {
    let home = TempDir::new().unwrap();
    let state = [("XDG_STATE_HOME", home.path().to_str().unwrap())];
    let trace = sample();
    let words = [AFTERTRACE, "analyze", "sql", &trace];
    let mut prompt = Terminal::run(&words, &state);
    // One statement of two lines, a mistake, a completed name, a command.
    for (turn, (keys, answer)) in [
        ("SELECT 40 +\r2 AS answer;\r", " answer\r\n--------\r\n     42\r\n(1 row)"),
        ("SELECT nothing FROM tcp_events;\r", "No field named nothing"),
        ("SELECT kind FROM tcp_ev\t WHERE kind = 'connect' LIMIT 1;\r", " connect\r\n(1 row)"),
        ("\\d losses\r", "column_name"),
        ("\\q\r", "\\q"),
    ]
    .into_iter()
    .enumerate()
    {
        prompt.wait_for_count(READS_A_LINE, turn + 1);
        prompt.type_in(keys);
        prompt.wait_for(answer);
    }
    assert_eq!(prompt.end().0, 0);

    let mut again = Terminal::run(&words, &state);
    again.wait_for(READS_A_LINE);
    // Up past \q and \d to the completed statement.
    again.type_in("\x1b[A\x1b[A\x1b[A");
    again.wait_for("FROM tcp_events WHERE");
    again.type_in("\x03");
    again.wait_for_count(READS_A_LINE, 2);
    again.type_in("\x04");
    assert_eq!(again.end().0, 0, "Ctrl-D leaves");
}

#[test]
fn parquet_does_not_go_to_a_terminal() {
    let trace = sample();
    let words = [AFTERTRACE, "analyze", "sql", &trace, "--format", "parquet", "-c", "SELECT 1"];
    let (code, screen) = Terminal::run(&words, &[]).end();
    assert_eq!(code, 1);
    assert!(screen.contains("--output FILE") && !screen.contains("PAR1"), "{screen:?}");
}
