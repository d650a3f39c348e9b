//! The key of a list in the cache: path and query as this server would write them,
//! from what was understood. So `limit=5`, `&limit=05` and `%6cimit=5` are one key,
//! and what has its default is left out.

use sha2::{Digest, Sha256};

use super::query::push_pair;
use super::{posts, users};

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

/// The key of a list that is asked for by this path and query; `None` where no list
/// would answer. For who names a key instead of asking for what is under it.
pub(super) fn key_of_target(path: &str, query: Option<&str>) -> Option<Vec<u8>> {
    let key = users::list_key(path, query).or_else(|| posts::list_key(path, query));
    key.map(ListKey::into_bytes)
}

/// Tokens of tags follow it in a key that may have twice as many bytes.
const KEY_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(target: &str) -> Option<String> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        key_of_target(path, query).map(|key| String::from_utf8(key).unwrap())
    }

    #[test]
    fn one_question_has_one_key() {
        for (spellings, expected) in [
            (
                &[
                    "/api/users",
                    "/api/users?",
                    "/api/users?&&",
                    "/api/users?limit=20&page=1&sort=id&name=&min_age=",
                    "/api/users?fields=version,id,name,email,age,location,created_at,updated_at",
                ][..],
                "/api/users",
            ),
            (
                &[
                    "/api/users?limit=5",
                    "/api/users?limit=5&",
                    "/api/users?&limit=5",
                    "/api/users?%6cimit=5",
                    "/api/users?limit=05",
                    "/api/users?limit=%35",
                    "/api/users?page=01&limit=5",
                ],
                "/api/users?limit=5",
            ),
            (
                &[
                    "/api/users?name=A+b&page=2",
                    "/api/users?page=2&name=A%20%62",
                ],
                "/api/users?page=2&name=A%20b",
            ),
            (
                &[
                    "/api/users/batch?ids=3,1,3",
                    "/api/users/batch?ids=3%2C1,3&",
                ],
                "/api/users/batch?ids=3,1,3",
            ),
            (
                &[
                    "/api/users/near?lat=0&lon=1.50&radius_km=10",
                    "/api/users/near?radius_km=1e1&lon=1.5&lat=-0.0&limit=20",
                ],
                "/api/users/near?lat=0&lon=1.5&radius_km=10",
            ),
            (
                &["/api/posts", "/api/posts?limit=20&populate="],
                "/api/posts",
            ),
            (
                &[
                    "/api/posts?author_id=7&populate=author",
                    "/api/posts?populate=author&author_id=07",
                ],
                "/api/posts?populate=author&author_id=7",
            ),
            (
                &["/api/posts/7", "/api/posts/7?", "/api/posts/7?populate="],
                "/api/posts/7",
            ),
            (
                &["/api/posts/7?populate=author"],
                "/api/posts/7?populate=author",
            ),
        ] {
            for spelling in spellings {
                assert_eq!(key(spelling).as_deref(), Some(expected), "{spelling}");
            }
        }
        for none in [
            "/api/users?limit=x",
            "/api/users?limit=5&limit=5",
            "/api/users/7",
            "/api/posts/07",
            "/elsewhere",
        ] {
            assert_eq!(key(none), None, "{none}");
        }
    }

    #[test]
    fn a_long_question_has_a_short_key_of_its_own() {
        let ids = |last: u32| {
            let ids: Vec<String> = (0..99).map(|n| (1_000_000_000 + n).to_string()).collect();
            format!("/api/users/batch?ids={},{last}", ids.join(","))
        };
        let (one, other) = (key(&ids(1)).unwrap(), key(&ids(2)).unwrap());
        assert!(
            one.starts_with("/api/users/batch?sha256=") && one.len() < 100,
            "{one}"
        );
        assert_ne!(one, other);
        assert_eq!(key(&format!("{}&&", ids(1))).unwrap(), one);
    }
}
