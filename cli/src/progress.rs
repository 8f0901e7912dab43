//! The progress bar: on a terminal, and only for work that takes more than a second.

use std::time::{Duration, Instant};

use aftertrace_analyzer::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Quicker work shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows how far a step is, on standard error.
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
    step: Option<(String, Option<u64>)>,
    began: Instant,
}

impl Bar {
    /// Nothing shown yet.
    pub(crate) fn new() -> Self {
        Self { bar: None, step: None, began: Instant::now() }
    }
}

impl Progress for Bar {
    fn begin(&mut self, what: &str, total: Option<u64>) {
        self.step = Some((what.to_owned(), total));
        self.began = Instant::now();
    }

    fn advance(&mut self, done: u64) {
        if self.bar.is_none() && self.began.elapsed() >= PATIENCE {
            let Some((what, total)) = &self.step else { return };
            // Hidden by the library itself where standard error is no terminal.
            let bar = ProgressBar::with_draw_target(*total, ProgressDrawTarget::stderr_with_hz(10))
                .with_elapsed(self.began.elapsed());
            let template = if total.is_some() {
                "{msg} {wide_bar} {percent}% {eta}"
            } else {
                "{msg} {spinner} {elapsed}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(what.clone());
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.step = None;
    }
}
