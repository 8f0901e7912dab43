//! Enumerations that stand as text in the trace, so that a row reads by itself in any SQL engine.

/// A closed set of words, kept as text in a column. Words that a later version added read as [`Label::OTHER`].
pub trait Label: Copy + Eq + 'static {
    /// Stands for a word that this build does not know.
    const OTHER: Self;
    /// Every word with its meaning, for the documentation.
    const WORDS: &'static [(&'static str, &'static str)];
    /// The word in the trace.
    fn word(self) -> &'static str;
    /// The value of a word.
    fn from_word(word: &str) -> Self;
}

/// Defines an enumeration that implements [`Label`] and is kept in a text column.
macro_rules! labels {
    ($(#[doc = $doc:literal])* pub enum $name:ident { $($(#[doc = $variant_doc:literal])* $variant:ident = $word:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[doc = $variant_doc])* $variant,)*
            /// A word that a later version of aftertrace wrote.
            Other,
        }

        impl $crate::label::Label for $name {
            const OTHER: Self = Self::Other;
            const WORDS: &'static [(&'static str, &'static str)] = &[$(($word, concat!($($variant_doc),*))),*];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other => "other",
                }
            }

            fn from_word(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)*
                    _ => Self::Other,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::label::Label::word(*self))
            }
        }
    };
}
pub(crate) use labels;
