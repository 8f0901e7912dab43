//! SPDX licence expressions, evaluated against a list of licences that one accepts.

use std::collections::BTreeSet;

/// Whether the terms of `expression` can be met with licences of `accepted` alone.
///
/// Knows AND, OR, WITH, parentheses, and the old `/` for OR. What it cannot read is not accepted.
pub(crate) fn acceptable(expression: &str, accepted: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, accepted };
    parser.alternatives() == Some(true) && parser.words.is_empty()
}

struct Parser<'a> {
    words: &'a [&'a str],
    accepted: &'a BTreeSet<String>,
}

impl Parser<'_> {
    fn alternatives(&mut self) -> Option<bool> {
        let mut result = self.conjunction()?;
        while self.take("OR") {
            result |= self.conjunction()?;
        }
        Some(result)
    }

    fn conjunction(&mut self) -> Option<bool> {
        let mut result = self.licence()?;
        while self.take("AND") {
            result &= self.licence()?;
        }
        Some(result)
    }

    fn licence(&mut self) -> Option<bool> {
        if self.take("(") {
            let result = self.alternatives()?;
            return self.take(")").then_some(result);
        }
        let mut name = self.next().filter(|word| !["AND", "OR", "WITH", ")"].contains(&word.as_str()))?;
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.next()?);
        }
        Some(self.accepted.contains(&name))
    }

    fn take(&mut self, word: &str) -> bool {
        let matches = self.words.first() == Some(&word);
        if matches {
            self.next();
        }
        matches
    }

    fn next(&mut self) -> Option<String> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some((*first).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(accepted: &[&str], expression: &str) -> bool {
        acceptable(expression, &accepted.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn one_of_alternatives_is_enough() {
        assert!(with(&["MIT"], "MIT OR GPL-3.0-only"));
        assert!(with(&["MIT"], "GPL-3.0-only/MIT"));
        assert!(!with(&["Zlib"], "MIT OR Apache-2.0"));
    }

    #[test]
    fn all_of_a_conjunction_are_needed() {
        assert!(!with(&["MIT"], "MIT AND GPL-3.0-only"));
        assert!(with(&["MIT", "Unicode-3.0"], "(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!with(&["MIT"], "(MIT OR Apache-2.0) AND Unicode-3.0"));
    }

    #[test]
    fn an_exception_is_part_of_the_licence() {
        let expression = "Apache-2.0 WITH LLVM-exception";
        assert!(with(&["Apache-2.0 WITH LLVM-exception"], expression));
        assert!(!with(&["Apache-2.0"], expression));
    }

    #[test]
    fn what_cannot_be_read_is_not_accepted() {
        assert!(!with(&["MIT"], ""));
        assert!(!with(&["MIT"], "(MIT"));
        assert!(!with(&["MIT"], "MIT MIT"));
        assert!(!with(&["MIT"], "MIT OR"));
    }
}
