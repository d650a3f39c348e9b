//! Which key of the cache a path and a query mean: for who names a list instead of
//! asking for it.

use super::list_key::ListKey;
use super::{posts, users};

/// The key of a list that is asked for by this path and query; `None` where no list
/// would answer.
pub(super) fn key_of_target(path: &str, query: Option<&str>) -> Option<Vec<u8>> {
    let key = users::list_key(path, query).or_else(|| posts::list_key(path, query));
    key.map(ListKey::into_bytes)
}

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
        ] {
            for spelling in spellings {
                assert_eq!(key(spelling).as_deref(), Some(expected), "{spelling}");
            }
        }
    }

    #[test]
    fn posts_have_keys_of_their_own_and_what_is_no_list_none() {
        for (spellings, expected) in [
            (
                &["/api/posts", "/api/posts?limit=20&populate="][..],
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
