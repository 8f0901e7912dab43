//! Runs a workload with known counts; as process 1, is the init of a guest.
//!
//! `workload lifecycle DIR`, `workload demo DIR SECONDS`, `workload connections COUNT PAIRS`, `workload execs COUNT`:
//! the storms print
//! `elapsed_ns=N` when they are done and then stay for `LINGER_MS` (environment), so that whoever measures others
//! can read their last numbers. `workload listen` and `workload connect COUNT PORT` go on until their input ends.

mod guest;

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use aftertrace_workload::{crowd, lifecycle, storm};

const USAGE: &str = "usage: workload lifecycle DIR | demo DIR SECONDS | connections COUNT PAIRS | execs COUNT | listen | \
     connect COUNT PORT | noop | sleep";

fn main() -> ExitCode {
    if std::process::id() == 1 {
        return guest::init();
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("workload: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> io::Result<()> {
    match words {
        ["noop"] => Ok(()),
        ["sleep"] => {
            println!(".");
            io::stdout().flush()?;
            thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        ["lifecycle", dir] => lifecycle::run(Path::new(dir)),
        ["demo", dir, seconds] => demo(Path::new(dir), Duration::from_secs(number(seconds)?)),
        ["connections", count, pairs] => finish(storm::connections(number(count)?, number(pairs)?)?),
        ["execs", count] => finish(storm::execs(number(count)?, &env::current_exe()?)?),
        ["listen"] => crowd::listen(),
        ["connect", count, port] => crowd::connect(number(count)?, number(port)? as u16),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)),
    }
}

/// A little of everything, again and again, and a short storm between.
fn demo(dir: &Path, duration: Duration) -> io::Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < duration {
        lifecycle::run(dir)?;
        storm::connections(200, 1)?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("not a number: {text}")))
}

fn finish(elapsed: Duration) -> io::Result<()> {
    println!("elapsed_ns={}", elapsed.as_nanos());
    io::stdout().flush()?;
    let linger_ms = env::var("LINGER_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    thread::sleep(Duration::from_millis(linger_ms));
    Ok(())
}
