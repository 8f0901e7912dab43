//! What spans say of a statement: one way for all protocols that have some.
//!
//! Names: <https://opentelemetry.io/docs/specs/semconv/db/database-spans/>.

use super::{Dialect, Summary, summary};
use crate::Attribute;

/// A statement in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Named {
    operation: &'static str,
    target: Vec<u8>,
    target_is_all: bool,
    summary: Vec<u8>,
}

impl Named {
    /// One that is carried out.
    pub(crate) fn of(dialect: Dialect, text: &[u8]) -> Self {
        let summary = summary(dialect, text);
        let name = summary.name();
        let Summary { operation, table, is_only } = summary;
        Self { operation, target: table, target_is_all: is_only, summary: name }
    }

    /// One that is only prepared.
    pub(crate) fn prepares(dialect: Dialect, text: &[u8]) -> Self {
        Self::of(dialect, text).within("PREPARE")
    }

    /// One that an operation of the protocol is about.
    pub(crate) fn within(self, operation: &'static str) -> Self {
        let blank: &[u8] = if self.summary.is_empty() { b"" } else { b" " };
        Self { operation, summary: [operation.as_bytes(), blank, &self.summary].concat(), ..self }
    }

    /// Name of its span; `otherwise` if nothing is known.
    pub(crate) fn name<'this>(&'this self, otherwise: &'static str) -> &'this [u8] {
        if self.summary.is_empty() { otherwise.as_bytes() } else { &self.summary }
    }

    /// What there is to say; `text` is the statement as it is, which whoever shows it takes the literals out of.
    pub(crate) fn attributes<'all>(
        &'all self,
        text: &'all [u8],
        namespace: &'all [u8],
    ) -> Vec<Attribute<'all>> {
        let target: &[u8] = if self.target_is_all { &self.target } else { b"" };
        [
            ("db.operation.name", self.operation.as_bytes()),
            ("db.collection.name", target),
            ("db.query.summary", &self.summary),
            ("db.query.text", text),
            ("db.namespace", namespace),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| Attribute::text(key, value))
        .collect()
    }
}
