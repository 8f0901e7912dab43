//! What containers log.

use aftertrace_schemas::tables::{LogLine, LogPattern};

use super::Registry;
use crate::logs::{Context, earlier};

impl Registry {
    pub(super) fn log_line(&mut self, row: &LogLine) {
        let time = self.now;
        if let Some(index) = self.resolve(&row.cgroup, time)
            && let Some(container) = self.containers.get_mut(index)
        {
            let mut context = Context { time, limits: &self.config.limits, drops: &mut self.drops };
            let next = container.logs.line(row, &mut context);
            self.next_log_flush = earlier(self.next_log_flush, next);
        }
    }

    pub(super) fn log_pattern(&mut self, row: &LogPattern) {
        let time = self.now;
        if let Some(index) = self.resolve(&row.cgroup, time)
            && let Some(container) = self.containers.get_mut(index)
        {
            let mut context = Context { time, limits: &self.config.limits, drops: &mut self.drops };
            container.logs.pattern(row, &mut context);
        }
    }

    /// Counts messages that no line was added to for long.
    pub(super) fn flush_logs(&mut self) {
        let mut context = Context { time: self.now, limits: &self.config.limits, drops: &mut self.drops };
        self.next_log_flush = None;
        for container in self.containers.each_mut() {
            let next = container.logs.flush(&mut context);
            self.next_log_flush = earlier(self.next_log_flush, next);
        }
    }

    /// Counts all messages: no more lines come.
    pub(super) fn finish_logs(&mut self) {
        let mut context = Context { time: self.now, limits: &self.config.limits, drops: &mut self.drops };
        for container in self.containers.each_mut() {
            container.logs.finish(&mut context);
        }
    }
}
