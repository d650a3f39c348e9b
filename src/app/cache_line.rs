//! What a cache says about one answer: `X-Cache` and `Cache-Status` (RFC 9211).
//!
//! There are few such answers, so each is a `static` whose lines are written
//! out: saying one is a copy.

use http::{HeaderName, HeaderValue, header};

/// The two headers, as encoded lines and as values.
#[derive(Debug)]
pub(crate) struct CacheLine {
    pub(super) lines: &'static [u8],
    pub(super) headers: [(HeaderName, HeaderValue); 2],
}

pub(super) const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

impl CacheLine {
    /// Of `"x-cache: HIT\r\ncache-status: corelane; hit; detail=l1\r\n"` or the
    /// like.
    ///
    /// # Panics
    /// At compile time in a `static`, when the lines are not of that form.
    #[cfg_attr(not(test), expect(dead_code, reason = "a cache calls it"))]
    pub(crate) const fn new(lines: &'static str) -> Self {
        let (x_cache, rest) = line_of("x-cache: ", lines);
        let (cache_status, rest) = line_of("cache-status: ", rest);
        assert!(rest.is_empty(), "two lines");
        let x_cache = HeaderValue::from_static(x_cache);
        let cache_status = HeaderValue::from_static(cache_status);
        Self {
            lines: lines.as_bytes(),
            headers: [(X_CACHE, x_cache), (header::CACHE_STATUS, cache_status)],
        }
    }
}

/// The value of the first line, which starts with `name`, and what follows it.
const fn line_of<'a>(name: &str, text: &'a str) -> (&'a str, &'a str) {
    let (start, rest) = text.split_at(name.len());
    let mut at = 0;
    while at < name.len() {
        assert!(start.as_bytes()[at] == name.as_bytes()[at], "another name");
        at += 1;
    }
    let mut end = 0;
    while rest.as_bytes()[end] != b'\r' {
        end += 1;
    }
    assert!(rest.as_bytes()[end + 1] == b'\n', "a line ends with CRLF");
    let (value, rest) = rest.split_at(end);
    (value, rest.split_at(2).1)
}
