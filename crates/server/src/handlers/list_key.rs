//! The key of a list in the cache: path and query as this server would write them,
//! from what was understood. So `limit=5`, `&limit=05` and `%6cimit=5` are one key,
//! and what has its default is left out.

use sha2::{Digest, Sha256};

use super::query::push_pair;

/// A path and a query without two ways to say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListKey(String);

impl ListKey {
    /// Of a path that has one spelling.
    pub(super) fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// Adds a parameter. Every key adds its own in one order.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        push_pair(&mut self.0, name, value);
        self
    }

    /// Adds a parameter that was given.
    #[must_use]
    pub(super) fn with_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, &value.to_string()),
            None => self,
        }
    }

    /// The same question as it is asked again, for a link.
    pub(super) fn into_link(self) -> String {
        self.0
    }

    /// The key. A cache keeps nothing under a key that is too long, so of one that is
    /// there stands a hash: nobody can find two questions with the same.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        if self.0.len() <= KEY_BYTES_MAX {
            return self.0.into_bytes();
        }
        let path = self.0.split('?').next().unwrap_or_default();
        let hash = Sha256::digest(self.0.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{path}?sha256={hash}").into_bytes()
    }
}

/// Tokens of tags follow it in a key that may have twice as many bytes.
const KEY_BYTES_MAX: usize = 512;
