//! A client that scrapes at intervals and keeps how long each scrape took.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// What scrapes took.
#[derive(Default)]
pub(super) struct Scrapes {
    /// Milliseconds, in order.
    ms: Vec<f64>,
    /// Bytes of the last body.
    pub(super) bytes: usize,
    /// Series in the last one that was text.
    pub(super) series: usize,
}

impl Scrapes {
    /// How many these are.
    pub(super) fn len(&self) -> usize {
        self.ms.len()
    }

    /// So much of a hundred took no longer.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.ms.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(place).copied().unwrap_or_default()
    }

    /// `1.2 / 3.4 / 5.6`: median, 99 of 100, and the longest.
    pub(super) fn text(&self) -> String {
        let [median, most, all] = [50, 99, 100].map(|percent| self.percentile(percent));
        format!("{median:.1} / {most:.1} / {all:.1}")
    }
}

/// Scrapes one address.
///
/// # Errors
/// When there is no answer of success.
pub(super) fn scrape(address: &str, gzip: bool, scrapes: &mut Scrapes) -> Result<String> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let encoding = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{encoding}\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    scrapes.ms.push(begin.elapsed().as_secs_f64() * 1e3);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").context("no HTTP")?;
    let (head, body) = answer.split_at(end + 4);
    ensure!(head.starts_with(b"HTTP/1.1 200"), "{address}: {}", String::from_utf8_lossy(head));
    scrapes.bytes = body.len();
    if gzip {
        return Ok(String::new());
    }
    let text = String::from_utf8_lossy(body).into_owned();
    scrapes.series = text.lines().filter(|line| !line.starts_with('#')).count();
    Ok(text)
}

/// A thread that scrapes until it is told to end.
pub(super) struct Scraper {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Scrapes>>,
}

impl Scraper {
    pub(super) fn start(address: &str, interval: Duration) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (address, over) = (address.to_owned(), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut scrapes = Scrapes::default();
            while !over.load(Ordering::Relaxed) {
                scrape(&address, false, &mut scrapes)?;
                std::thread::sleep(interval);
            }
            Ok(scrapes)
        });
        Self { is_over, thread }
    }

    /// What it saw.
    ///
    /// # Errors
    /// The first scrape that failed.
    pub(super) fn stop(self) -> Result<Scrapes> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the scraper panicked"))?
    }
}
