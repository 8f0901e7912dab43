//! Blanks secret headers, parameters and members in both directions.

use crate::text_secrets::TextSecrets;
use crate::{PerSide, Redactor, Side};

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct HttpRedactor {
    sides: PerSide<TextSecrets>,
}

impl Redactor for HttpRedactor {
    fn redact(&mut self, side: Side, position: u64, size: u64, bytes: &mut [u8]) -> usize {
        self.sides.of(side).redact(position, size, bytes)
    }
}
