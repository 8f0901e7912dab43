//! Basic authentication (RFC 7617) against bcrypt hashes.
//!
//! A hash takes tens of milliseconds by design. It is computed off the HTTP thread, and what was right once is
//! remembered as a digest under a random key, so that a scrape each second costs nothing.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;

/// Right answers that are remembered at most; then all are forgotten.
const REMEMBERED: usize = 100;
/// Stands for the hash of a user who does not exist, so that one takes as long as a wrong password.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";

/// Who may ask.
#[derive(Debug, Clone)]
pub(super) struct BasicAuth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    users: BTreeMap<String, String>,
    keys: [RandomState; 2],
    right: Mutex<Vec<[u64; 2]>>,
}

impl BasicAuth {
    /// Users with their hashes, or the user whose hash is none.
    pub(super) fn new(users: BTreeMap<String, String>) -> Result<Self, String> {
        for (user, hash) in &users {
            if bcrypt::verify("", hash).is_err() {
                return Err(user.clone());
            }
        }
        Ok(Self(Arc::new(Inner { users, keys: Default::default(), right: Mutex::default() })))
    }

    /// Whether the value of `Authorization` is right. Takes as long as a hash; not for the HTTP thread.
    pub(super) fn admits(&self, authorization: &str) -> bool {
        let Some((user, password)) = credentials(authorization) else { return false };
        let Inner { users, keys, right } = &*self.0;
        let digest = keys.each_ref().map(|key| key.hash_one((&user, &password)));
        if right.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest) {
            return true;
        }
        let hash = users.get(&user);
        let is_right = bcrypt::verify(&password, hash.map_or(NOBODY, String::as_str)).unwrap_or(false);
        if !(is_right && hash.is_some()) {
            return false;
        }
        let mut right = right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.push(digest);
        true
    }
}

/// User and password of `Basic <base64>`.
fn credentials(authorization: &str) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = decode_base64(encoded.trim())?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded.get(..colon)?.to_vec()).ok()?;
    Some((user, decoded.get(colon + 1..)?.to_vec()))
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(user: &str, password: &str) -> String {
        let text = format!("{user}:{password}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    }

    #[test]
    fn a_user_with_the_right_password_is_admitted_and_nobody_else() {
        // The cheapest cost there is: these are tests.
        let hash = bcrypt::hash("s:ecret", 4).unwrap();
        let auth = BasicAuth::new(BTreeMap::from([("alice".to_owned(), hash)])).unwrap();
        for _ in 0..2 {
            assert!(auth.admits(&header("alice", "s:ecret")));
            assert!(!auth.admits(&header("alice", "secret")));
            assert!(!auth.admits(&header("bob", "s:ecret")));
            assert!(!auth.admits("Bearer token"));
        }
    }

    #[test]
    fn what_stands_for_nobody_is_a_hash_that_can_be_computed() {
        assert!(bcrypt::verify("", NOBODY).is_ok());
    }

    #[test]
    fn a_password_that_is_no_hash_is_refused_with_its_user() {
        let users = BTreeMap::from([("alice".to_owned(), "plain".to_owned())]);
        assert_eq!(BasicAuth::new(users).unwrap_err(), "alice");
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in ".{0,100}") {
            let _ = credentials(&header);
        }
    }
}
