//! How far a long step is; the caller decides whether and how to show it.

/// Told of each step that can take long.
pub trait Progress {
    /// A step begins: `what` in words, and how many units it has, when that is known.
    fn begin(&mut self, what: &str, total: Option<u64>);
    /// So many units of the step are done in all.
    fn advance(&mut self, done: u64);
    /// The step ended.
    fn end(&mut self);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&mut self, _what: &str, _total: Option<u64>) {}
    fn advance(&mut self, _done: u64) {}
    fn end(&mut self) {}
}

/// A part of a step that began already: moves the step on from where it stood.
pub(crate) struct Part<'p> {
    pub(crate) step: &'p mut dyn Progress,
    pub(crate) before: u64,
}

impl Progress for Part<'_> {
    fn begin(&mut self, _what: &str, _total: Option<u64>) {}

    fn advance(&mut self, done: u64) {
        self.step.advance(self.before + done);
    }

    fn end(&mut self) {}
}
