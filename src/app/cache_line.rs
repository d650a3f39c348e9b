//! What a cache says about one answer: `X-Cache` and `Cache-Status` (RFC 9211).
//!
//! There are few such answers, so each is a `static` whose lines are written
//! out: saying one is a copy.

use http::{HeaderName, HeaderValue, header};

use crate::caches::HitKind;

/// The two headers, as encoded lines and as values.
#[derive(Debug)]
pub(crate) struct CacheLine {
    pub(super) lines: &'static [u8],
    pub(super) headers: [(HeaderName, HeaderValue); 2],
}

pub(crate) const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// One for each way an answer can be come by. `fwd` and `collapsed` are RFC
/// 9211's (sections 2.2 and 2.6); `detail` says which of the caches had it.
static L1: CacheLine = CacheLine::new("x-cache: HIT\r\ncache-status: corelane; hit; detail=l1\r\n");
static HOME: CacheLine =
    CacheLine::new("x-cache: HIT\r\ncache-status: corelane; hit; detail=home\r\n");
static STALE: CacheLine =
    CacheLine::new("x-cache: HIT\r\ncache-status: corelane; hit; detail=stale\r\n");
static LOADED: CacheLine =
    CacheLine::new("x-cache: MISS\r\ncache-status: corelane; fwd=uri-miss; stored\r\n");
static COLLAPSED: CacheLine =
    CacheLine::new("x-cache: MISS\r\ncache-status: corelane; fwd=uri-miss; collapsed\r\n");
static BYPASS: CacheLine =
    CacheLine::new("x-cache: MISS\r\ncache-status: corelane; fwd=bypass\r\n");
static STALE_ON_ERROR: CacheLine =
    CacheLine::new("x-cache: HIT\r\ncache-status: corelane; hit; detail=stale-on-error\r\n");

/// What a cache in Redis behind the shards' did for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondLevel {
    /// It was there.
    Hit,
    /// It was not.
    Miss,
    /// Redis was away or slow, or was not believed.
    Bypass,
}

/// The member of the cache nearest to the store comes first (RFC 9211 section
/// 2).
static HIT_STORED: CacheLine = CacheLine::new(
    "x-cache: HIT\r\ncache-status: corelane-redis; hit, corelane; fwd=uri-miss; stored\r\n",
);
static HIT_BYPASS: CacheLine =
    CacheLine::new("x-cache: HIT\r\ncache-status: corelane-redis; hit, corelane; fwd=bypass\r\n");
static MISS_STORED: CacheLine = CacheLine::new(
    "x-cache: MISS\r\ncache-status: corelane-redis; fwd=uri-miss, corelane; fwd=uri-miss; stored\r\n",
);
static MISS_BYPASS: CacheLine = CacheLine::new(
    "x-cache: MISS\r\ncache-status: corelane-redis; fwd=uri-miss, corelane; fwd=bypass\r\n",
);
static BYPASS_STORED: CacheLine = CacheLine::new(
    "x-cache: MISS\r\ncache-status: corelane-redis; fwd=bypass, corelane; fwd=uri-miss; stored\r\n",
);
static BYPASS_BYPASS: CacheLine = CacheLine::new(
    "x-cache: MISS\r\ncache-status: corelane-redis; fwd=bypass, corelane; fwd=bypass\r\n",
);

impl CacheLine {
    /// What to say of an answer that two levels were asked for. The second was
    /// asked by whoever loaded it; of all others the first level has the word.
    pub(super) fn of_levels(lookup: HitKind, second: SecondLevel) -> &'static Self {
        match (lookup, second) {
            (HitKind::Loaded, SecondLevel::Hit) => &HIT_STORED,
            (HitKind::Loaded, SecondLevel::Miss) => &MISS_STORED,
            (HitKind::Loaded, SecondLevel::Bypass) => &BYPASS_STORED,
            (HitKind::Bypass, SecondLevel::Hit) => &HIT_BYPASS,
            (HitKind::Bypass, SecondLevel::Miss) => &MISS_BYPASS,
            (HitKind::Bypass, SecondLevel::Bypass) => &BYPASS_BYPASS,
            _ => Self::of(lookup),
        }
    }

    /// What to say of an answer that was come by like this.
    pub(crate) fn of(lookup: HitKind) -> &'static Self {
        match lookup {
            HitKind::L1 => &L1,
            HitKind::Home => &HOME,
            HitKind::Stale => &STALE,
            HitKind::Loaded => &LOADED,
            HitKind::Collapsed => &COLLAPSED,
            HitKind::Bypass => &BYPASS,
            HitKind::StaleOnError => &STALE_ON_ERROR,
        }
    }

    /// Of `"x-cache: HIT\r\ncache-status: corelane; hit; detail=l1\r\n"` or the
    /// like.
    ///
    /// # Panics
    /// At compile time in a `static`, when the lines are not of that form.
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
