//! Proactive negotiation: `Accept-Encoding` among the codings a representation
//! exists in, and `Accept` among a few media types (RFC 9110 section 12.5).
//!
//! Members that cannot be read are skipped, as if they had not been sent.

/// A content coding corelane can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Coding {
    Identity,
    Gzip,
    Zstd,
    Brotli,
}

impl Coding {
    /// All, most wanted first where the client does not care.
    pub const BY_PREFERENCE: [Coding; 4] = [Self::Brotli, Self::Zstd, Self::Gzip, Self::Identity];

    /// The value of `Content-Encoding`; `identity` is never sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Brotli => "br",
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Self::Gzip);
        }
        Self::BY_PREFERENCE
            .into_iter()
            .find(|c| name.eq_ignore_ascii_case(c.name().as_bytes()))
    }
}

/// A set of codings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CodingSet(u8);

impl CodingSet {
    /// No coding at all.
    pub const EMPTY: Self = Self(0);

    /// The set with `coding` in it.
    #[must_use]
    pub const fn with(self, coding: Coding) -> Self {
        Self(self.0 | 1 << coding as u8)
    }

    /// Whether `coding` is in it.
    pub const fn contains(self, coding: Coding) -> bool {
        self.0 & 1 << coding as u8 != 0
    }
}

/// A quality value in thousandths: 0 is "not acceptable", 1000 the most.
pub type Quality = u16;

/// The coding to answer in, of those `available`; `None` when the client
/// accepts none of them (`identity` must be refused by name or by `*;q=0`).
///
/// `accept_encoding` is the joined field value. Without the field anything is
/// acceptable, and identity, if available, is what surely can be read. The
/// highest quality wins; equals go br, zstd, gzip, identity. Identity that is
/// not mentioned comes after everything that is.
pub fn preferred_coding(accept_encoding: Option<&[u8]>, available: CodingSet) -> Option<Coding> {
    let mut candidates = Coding::BY_PREFERENCE
        .into_iter()
        .filter(|c| available.contains(*c));
    let Some(field) = accept_encoding else {
        // Identity stands last.
        return candidates.next_back();
    };
    let mut named: [Option<Quality>; 4] = [None; 4];
    let mut star = None;
    for (name, quality) in members(field) {
        if name == b"*" {
            star = Some(quality);
        } else if let Some(coding) = Coding::from_name(name) {
            named[coding as usize] = Some(quality);
        }
    }
    let rank = |coding: Coding| match (named[coding as usize].or(star), coding) {
        (Some(quality), _) => u32::from(quality) * 2,
        (None, Coding::Identity) => 1,
        (None, _) => 0,
    };
    // The first of the best: max_by_key would give the last.
    candidates
        .filter(|c| rank(*c) > 0)
        .reduce(|best, next| if rank(next) > rank(best) { next } else { best })
}

/// How much a client wants `media_type` (`type/subtype`), by the most specific
/// range that names it. Without the field, 1000. Parameters of ranges other
/// than `q` are not compared.
pub fn media_type_quality(accept: Option<&[u8]>, media_type: &str) -> Quality {
    let Some(field) = accept else {
        return QUALITY_MAX;
    };
    let wanted = media_type.as_bytes();
    let top_level = wanted.split(|b| *b == b'/').next().unwrap_or_default();
    let mut best = (0, 0);
    for (range, quality) in members(field) {
        let specificity = if range.eq_ignore_ascii_case(wanted) {
            3
        } else if range
            .strip_suffix(b"/*")
            .is_some_and(|t| t.eq_ignore_ascii_case(top_level))
        {
            2
        } else if range == b"*/*" {
            1
        } else {
            continue;
        };
        best = best.max((specificity, quality));
    }
    best.1
}

/// The most wanted of `offers`, as an index; the first of equals. `None` when
/// the client accepts none.
pub fn best_media_type(accept: Option<&[u8]>, offers: &[&str]) -> Option<usize> {
    let mut best = None;
    for (index, offer) in offers.iter().enumerate() {
        let quality = media_type_quality(accept, offer);
        if quality > best.map_or(0, |(_, q)| q) {
            best = Some((index, quality));
        }
    }
    best.map(|(index, _)| index)
}

const QUALITY_MAX: Quality = 1000;

/// Members `name [;parameter]… [;q=…]` of a list, those that can be read.
fn members(field: &[u8]) -> impl Iterator<Item = (&[u8], Quality)> {
    field.split(|b| *b == b',').filter_map(|member| {
        let mut pieces = member.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let name = pieces.next().filter(|name| !name.is_empty())?;
        let mut quality = QUALITY_MAX;
        for piece in pieces {
            if let Some(value) = piece
                .strip_prefix(b"q=")
                .or_else(|| piece.strip_prefix(b"Q="))
            {
                quality = parse_quality(value)?;
            }
        }
        Some((name, quality))
    })
}

/// `0`, `0.` to `0.999`, `1`, `1.` to `1.000`.
fn parse_quality(value: &[u8]) -> Option<Quality> {
    let (whole, fraction) = match value {
        [whole] => (whole, &b""[..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut thousandths = 0;
    for place in 0..3 {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        thousandths =
            thousandths * 10 + Quality::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    match (whole, thousandths) {
        (b'0', _) => Some(thousandths),
        (b'1', 0) => Some(QUALITY_MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: CodingSet = CodingSet::EMPTY
        .with(Coding::Identity)
        .with(Coding::Gzip)
        .with(Coding::Zstd)
        .with(Coding::Brotli);
    const PLAIN_AND_GZIP: CodingSet = CodingSet::EMPTY.with(Coding::Identity).with(Coding::Gzip);

    #[test]
    fn the_best_available_coding_wins() {
        use Coding::{Brotli, Gzip, Identity, Zstd};
        for (field, of_all, of_gzip) in [
            ("gzip, deflate, br, zstd", Some(Brotli), Some(Gzip)),
            ("gzip, deflate, zstd", Some(Zstd), Some(Gzip)),
            ("deflate", Some(Identity), Some(Identity)),
            ("", Some(Identity), Some(Identity)),
            ("*", Some(Brotli), Some(Gzip)),
            ("br;q=0, *", Some(Zstd), Some(Gzip)),
            ("br;q=0.5, gzip;q=0.8", Some(Gzip), Some(Gzip)),
            ("BR ; q=0.9 , GZip;Q=0.1", Some(Brotli), Some(Gzip)),
            ("x-gzip", Some(Gzip), Some(Gzip)),
            ("identity, gzip;q=0.5", Some(Identity), Some(Identity)),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip), Some(Gzip)),
            ("gzip;q=0.001", Some(Gzip), Some(Gzip)),
            ("br, identity;q=0", Some(Brotli), None),
            ("identity;q=0", None, None),
            ("*;q=0", None, None),
            ("*;q=0, identity", Some(Identity), Some(Identity)),
            ("*;q=0, gzip;q=0.1", Some(Gzip), Some(Gzip)),
            ("compress, gzip", Some(Gzip), Some(Gzip)),
            // RFC 9110 section 12.5.3.
            ("gzip;q=1.0, identity; q=0.5, *;q=0", Some(Gzip), Some(Gzip)),
        ] {
            assert_eq!(
                preferred_coding(Some(field.as_bytes()), ALL),
                of_all,
                "{field}"
            );
            assert_eq!(
                preferred_coding(Some(field.as_bytes()), PLAIN_AND_GZIP),
                of_gzip,
                "{field}"
            );
        }
    }

    #[test]
    fn without_the_field_identity_is_safe() {
        assert_eq!(preferred_coding(None, ALL), Some(Coding::Identity));
        assert_eq!(
            preferred_coding(None, CodingSet::EMPTY.with(Coding::Gzip)),
            Some(Coding::Gzip)
        );
        assert_eq!(preferred_coding(None, CodingSet::EMPTY), None);
    }

    #[test]
    fn members_that_cannot_be_read_are_skipped() {
        for field in [
            "br;q=2, gzip",
            "br;q=0.1234, gzip",
            "br;q=, gzip",
            "br;q=-1, gzip",
            "b r, gzip",
            ";, gzip",
        ] {
            assert_eq!(
                preferred_coding(Some(field.as_bytes()), ALL),
                Some(Coding::Gzip),
                "{field}"
            );
        }
    }

    #[test]
    fn quality_values() {
        for (text, quality) in [
            ("0", Some(0)),
            ("0.", Some(0)),
            ("0.5", Some(500)),
            ("0.05", Some(50)),
            ("0.999", Some(999)),
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("1.001", None),
            ("1.0000", None),
            ("2", None),
            ("", None),
            (".5", None),
            ("0,5", None),
            ("0.x", None),
        ] {
            assert_eq!(parse_quality(text.as_bytes()), quality, "{text}");
        }
    }

    #[test]
    fn the_most_specific_media_range_decides() {
        // RFC 9110 section 12.5.1, without its parameter row.
        let field =
            &b"text/*;q=0.3, text/plain;q=0.7, text/plain;format=fixed;q=0.4, */*;q=0.5"[..];
        for (media_type, quality) in [("text/plain", 700), ("text/html", 300), ("image/jpeg", 500)]
        {
            assert_eq!(
                media_type_quality(Some(field), media_type),
                quality,
                "{media_type}"
            );
        }
        assert_eq!(
            media_type_quality(Some(b"text/html;q=0, */*"), "text/html"),
            0
        );
        assert_eq!(media_type_quality(Some(b"TEXT/HTML"), "text/html"), 1000);
        assert_eq!(media_type_quality(Some(b""), "text/html"), 0);
        assert_eq!(media_type_quality(None, "text/html"), 1000);
    }

    #[test]
    fn metrics_are_json_unless_text_is_wanted_more() {
        let offers = ["application/json", "text/plain"];
        let best = |field: &[u8]| best_media_type(Some(field), &offers);
        assert_eq!(best_media_type(None, &offers), Some(0));
        assert_eq!(best(b"*/*"), Some(0));
        assert_eq!(best(b"text/plain"), Some(1));
        assert_eq!(best(b"image/png"), None);
        // What Prometheus sends.
        let prometheus = b"application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(best(prometheus), Some(1));
        // What browsers send.
        assert_eq!(best(b"text/html,application/xhtml+xml,*/*;q=0.8"), Some(0));
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_available_and_not_refused(
            members in proptest::collection::vec(
                ("(br|zstd|gzip|identity|\\*|deflate)", 0_u16..=10), 0..6),
            available in 1_u8..16,
        ) {
            let field: Vec<_> = members.iter().map(|(name, q)| format!("{name};q={}.{}", q / 10, q % 10)).collect();
            let field = field.join(", ");
            if let Some(coding) = preferred_coding(Some(field.as_bytes()), CodingSet(available)) {
                prop_assert!(CodingSet(available).contains(coding));
                let last = members.iter().rev().find(|(name, _)| name == coding.name());
                let star = members.iter().rev().find(|(name, _)| name == "*");
                match last.or(star) {
                    Some((_, quality)) => prop_assert!(*quality > 0),
                    None => prop_assert_eq!(coding, Coding::Identity),
                }
            }
        }

        #[test]
        fn no_bytes_panic(field in proptest::collection::vec(any::<u8>(), 0..64)) {
            preferred_coding(Some(&field), ALL);
            best_media_type(Some(&field), &["a/b"]);
        }
    }
}
