//! From the URL of a static file to its name under a root, its media type and
//! its caching rule.
//!
//! First step of a static request: [`resolve`] turns the tail of the path, as
//! sent, into a relative path that names something under the root by plain
//! descent, or refuses it. Sans-IO: it never asks the file system, so it says
//! nothing about symbolic links; the handler opens what it returns beneath the
//! root with the kernel's help.

mod cache_rules;
mod glob;
mod media_type;

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

pub use cache_rules::{CacheRules, InvalidCacheRule};
pub use glob::{Glob, InvalidGlob};
pub use media_type::content_type;

use crate::limits::STATIC_PATH_BYTES_MAX;

/// A path under a root: segments joined by single slashes, none of them empty,
/// `.`, `..` or longer than a file name may be, without NUL, control
/// characters or backslashes. A trailing slash, or nothing at all, asks for a
/// directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticPath<'a>(Cow<'a, str>);

/// Why a path is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No client sends this by accident: a broken percent escape, bytes that
    /// are not UTF-8, NUL or another control character. 400.
    Malformed,
    /// It names nothing that could be served: a way out of the root, an empty
    /// segment, an encoded slash, a hidden file, a name too long. 404, which tells nobody
    /// what exists.
    NotServed,
}

/// Which names may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathRules {
    /// Serve names that begin with a dot (`.env`, `.git`). Without it only a
    /// leading `.well-known` is (RFC 8615).
    pub hidden: bool,
}

impl StaticPath<'_> {
    /// The path without its trailing slash; empty for the root itself.
    pub fn relative(&self) -> &str {
        self.0.strip_suffix('/').unwrap_or(&self.0)
    }

    /// Whether a directory was asked for: its index is to be served.
    pub fn is_directory(&self) -> bool {
        self.0.is_empty() || self.0.ends_with('/')
    }

    /// The relative path with its trailing slash, if it has one: what tells
    /// two requests apart.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Resolves the tail of a request path: `css/app.css` of `/static/css/app.css`,
/// percent-encoded as sent. It is decoded once; what then still looks encoded
/// is a file name. Borrows when there is nothing to decode.
///
/// # Errors
/// See [`Refusal`].
///
/// ```
/// use corelane_proto::static_path::{PathRules, Refusal, resolve};
/// let rules = PathRules::default();
/// assert_eq!(resolve("a%20b/c.txt", rules).unwrap().relative(), "a b/c.txt");
/// assert_eq!(resolve("a/%2e%2e/b", rules).unwrap().relative(), "b");
/// assert_eq!(resolve("a/../../b", rules), Err(Refusal::NotServed));
/// ```
pub fn resolve(tail: &str, rules: PathRules) -> Result<StaticPath<'_>, Refusal> {
    let path = decode_once(tail)?;
    if path.bytes().any(|b| b.is_ascii_control()) {
        return Err(Refusal::Malformed);
    }
    if path.len() > STATIC_PATH_BYTES_MAX {
        return Err(Refusal::NotServed);
    }
    let segments = path.strip_suffix('/').unwrap_or(&path);
    if path.is_empty() {
        return Ok(StaticPath(path));
    }
    let is_name = |segment: &str| {
        !segment.is_empty() && segment.len() <= NAME_BYTES_MAX && !segment.contains('\\')
    };
    if !segments.split('/').all(is_name) {
        return Err(Refusal::NotServed);
    }
    let path = match segments.split('/').any(is_dots) {
        true => Cow::Owned(without_dots(&path)?),
        false => path,
    };
    let is_hidden = |(index, segment): (usize, &str)| {
        segment.starts_with('.') && !(index == 0 && segment == WELL_KNOWN)
    };
    match !rules.hidden && path.split('/').enumerate().any(is_hidden) {
        true => Err(Refusal::NotServed),
        false => Ok(StaticPath(path)),
    }
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// Dot segments removed (RFC 3986 section 5.2.4), as most clients do before
/// they send a path; one that would leave the root is not served.
fn without_dots(path: &str) -> Result<String, Refusal> {
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => {
                kept.pop().ok_or(Refusal::NotServed)?;
            }
            name => kept.push(name),
        }
    }
    let ends_in_dots = path.rsplit('/').next().is_some_and(is_dots);
    // What dots lead to is a directory, and so has its slash.
    if ends_in_dots && !kept.is_empty() {
        kept.push("");
    }
    Ok(kept.join("/"))
}

fn decode_once(tail: &str) -> Result<Cow<'_, str>, Refusal> {
    let mut rest = tail.as_bytes();
    while let Some(percent) = memchr::memchr(b'%', rest) {
        match rest.get(percent + 1..percent + 3) {
            // A slash inside a name: no file has one.
            Some([b'2', b'f' | b'F']) => return Err(Refusal::NotServed),
            Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {}
            _ => return Err(Refusal::Malformed),
        }
        rest = &rest[percent + 3..];
    }
    percent_decode_str(tail)
        .decode_utf8()
        .map_err(|_| Refusal::Malformed)
}

/// RFC 8615.
const WELL_KNOWN: &str = ".well-known";

/// `NAME_MAX` of Linux.
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    const RULES: PathRules = PathRules { hidden: false };

    #[test]
    fn plain_names_are_taken_as_they_are() {
        for (tail, relative, is_directory) in [
            ("a.txt", "a.txt", false),
            ("css/app.css", "css/app.css", false),
            ("docs/", "docs", true),
            ("", "", true),
            ("a%20b", "a b", false),
            ("%C3%A9t%c3%a9.txt", "été.txt", false),
            ("a%2520b", "a%20b", false),
            ("a..b/...c..", "", false),
            ("a..b/c...", "a..b/c...", false),
            (".well-known/acme/x", ".well-known/acme/x", false),
            ("a:b", "a:b", false),
            ("100%25", "100%", false),
        ] {
            match resolve(tail, RULES) {
                Ok(path) => {
                    assert_eq!(path.relative(), relative, "{tail}");
                    assert_eq!(path.is_directory(), is_directory, "{tail}");
                }
                Err(refusal) => {
                    assert_eq!((tail, refusal), ("a..b/...c..", Refusal::NotServed));
                }
            }
        }
        let clean = resolve("css/app.css", RULES).unwrap();
        assert!(
            matches!(clean.0, Cow::Borrowed(_)),
            "a clean path costs no allocation"
        );
    }

    #[test]
    fn every_way_out_is_refused() {
        for tail in [
            "..",
            "../",
            "a/../..",
            "a/../../b",
            "./../a",
            "a/%2e%2e/%2E%2e/b",
            "a//../b",
            "a\\b/../c",
            "../etc/passwd",
            "%2e%2e/etc/passwd",
            "%2E./x",
            ".%2e/x",
            "a/%2e%2e%2fb",
            "..%2f..%2fetc",
            "..%5cetc",
            "..\\etc",
            "a\\b",
            "/etc/passwd",
            "//etc",
            "a//b",
            "a//",
            "/",
            "%2fetc",
            ".git/config",
            ".env",
            "a/.env",
            "%2eenv",
            "a/.well-known/x",
            "..%00/",
        ] {
            assert!(resolve(tail, RULES).is_err(), "{tail}");
        }
    }

    #[test]
    fn dots_are_followed_within_the_root() {
        for (tail, path) in [
            ("a/../b", "b"),
            ("a/%2e%2E/b.txt", "b.txt"),
            ("a/b/../../c/./d", "c/d"),
            ("./a", "a"),
            ("a/.", "a/"),
            ("a/b/..", "a/"),
            ("a/b/../", "a/"),
            (".", ""),
            ("%2e", ""),
            ("a/..", ""),
            ("a/../", ""),
            ("a.txt/../b.txt", "b.txt"),
            (".git/../a", "a"),
            ("x/../.well-known/y", ".well-known/y"),
        ] {
            assert_eq!(resolve(tail, RULES).unwrap().as_str(), path, "{tail}");
        }
        assert_eq!(resolve("a/../.git/x", RULES), Err(Refusal::NotServed));
    }

    #[test]
    fn malformed_is_told_from_not_served() {
        for tail in [
            "a%",
            "a%4",
            "a%zz",
            "%ff",
            "%c3%28",
            "a%00b",
            "a%0ab",
            "a\tb",
            "%7f",
            "%c0%ae%c0%ae/x",
        ] {
            assert_eq!(resolve(tail, RULES), Err(Refusal::Malformed), "{tail}");
        }
        for tail in ["..", "a//b", ".env", "a%2fb", "a%5cb"] {
            assert_eq!(resolve(tail, RULES), Err(Refusal::NotServed), "{tail}");
        }
    }

    #[test]
    fn hidden_names_are_served_when_asked_for_but_dots_never() {
        let rules = PathRules { hidden: true };
        assert_eq!(resolve("a/.env", rules).unwrap().relative(), "a/.env");
        for tail in ["..", "a/../../b", "./.."] {
            assert_eq!(resolve(tail, rules), Err(Refusal::NotServed), "{tail}");
        }
    }

    #[test]
    fn names_and_paths_that_no_file_can_have_are_refused() {
        assert!(resolve(&"a".repeat(255), RULES).is_ok());
        assert_eq!(resolve(&"a".repeat(256), RULES), Err(Refusal::NotServed));
        let long = "ab/".repeat(STATIC_PATH_BYTES_MAX / 3 + 1);
        assert_eq!(resolve(&long, RULES), Err(Refusal::NotServed));
        assert!(resolve(&long[..STATIC_PATH_BYTES_MAX - 1], RULES).is_ok());
    }

    fn tail() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("..".to_owned()),
            Just(".".to_owned()),
            Just("/".to_owned()),
            Just("%2e".to_owned()),
            Just("%2F".to_owned()),
            Just("%5c".to_owned()),
            Just("%00".to_owned()),
            Just("%25".to_owned()),
            Just("\\".to_owned()),
            "[a-z.]{1,3}",
            "%[0-9a-f]{2}",
            any::<String>(),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// Joined to any root, it stays inside, whatever the rules.
        #[test]
        fn a_resolved_path_never_leaves_its_root(tail in tail(), hidden: bool) {
            if let Ok(path) = resolve(&tail, PathRules { hidden }) {
                let relative = Path::new(path.relative());
                prop_assert!(relative.components().all(|c| matches!(c, Component::Normal(_))), "{path:?}");
                prop_assert!(!path.as_str().contains(['\0', '\\']));
                prop_assert!(!path.as_str().contains("//"));
                let joined = Path::new("/srv/root").join(relative);
                prop_assert!(joined.starts_with("/srv/root"));
                prop_assert_eq!(joined.components().count(), 3 + relative.components().count());
            }
        }

        /// What is served is found again under its own, freshly encoded name.
        #[test]
        fn encoding_a_resolved_path_resolves_to_itself(tail in tail()) {
            if let Ok(path) = resolve(&tail, RULES) {
                let encoded: String = path
                    .as_str()
                    .split('/')
                    .map(|s| percent_encoding::utf8_percent_encode(s, percent_encoding::NON_ALPHANUMERIC).to_string())
                    .collect::<Vec<_>>()
                    .join("/");
                let again = resolve(&encoded, RULES);
                prop_assert_eq!(again.as_ref(), Ok(&path));
            }
        }
    }
}
