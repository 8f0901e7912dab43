//! Maps that hash the same way in every process. Only [`OrderedMap`] may be iterated: in the order of insertion.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

/// For look-ups. Its order means nothing, so `clippy.toml` forbids to iterate it.
pub(crate) type LookupMap<K, V> = rustc_hash::FxHashMap<K, V>;

/// Iterates in an order that depends on nothing but what was done to it.
pub(crate) type OrderedMap<K, V> = IndexMap<K, V, FxBuildHasher>;
