//! Entity tags of what was compressed on the way out (RFC 9110 section 8.8.3.3:
//! another coding is another representation and has another strong tag).
//!
//! A representation `"v7"` sent as gzip has `"v7--gzip"`. It is strong, so that
//! a client can put it into `If-Match`; `W/"v7"` would fail every such write.
//! When it comes back, whoever knows only `"v7"` is shown both. Weak tags stay
//! as they are: they say that the content is the same, whatever its bytes.

use http::HeaderValue;

use super::{ETag, TagList};

/// What the tag of a gzip representation ends with. Not `-gzip`, which servers
/// behind this one may give to tags of their own.
const GZIP_SUFFIX: &[u8] = b"--gzip";

/// The tag as gzip of the representation with this one; `None` when it stays.
pub fn gzip_tag(tag: &ETag) -> Option<ETag> {
    if tag.is_weak() {
        return None;
    }
    let text = [b"\"", tag.opaque(), GZIP_SUFFIX, b"\""].concat();
    ETag::try_from(HeaderValue::try_from(text).ok()?).ok()
}

/// The value of `If-Match` or `If-None-Match` with the tags that those of gzip
/// stand for, in front of all; `None` when it names none.
pub fn with_plain_tags(value: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    for tag in TagList::new(value).iter().flatten() {
        if let Some(opaque) = tag.opaque.strip_suffix(GZIP_SUFFIX) {
            let start: &[u8] = if tag.weak { b"W/\"" } else { b"\"" };
            plain.extend([start, opaque, b"\", "].concat());
        }
    }
    if plain.is_empty() {
        return None;
    }
    plain.extend_from_slice(value);
    Some(plain)
}

/// Whether a value of `If-None-Match` names the gzip of what has this tag.
pub fn names_gzip_of(value: &[u8], tag: &ETag) -> bool {
    let mut tags = TagList::new(value).iter().flatten();
    tags.any(|named| named.opaque.strip_suffix(GZIP_SUFFIX) == Some(tag.opaque()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::semantics::{Conditions, Validators, Verdict, evaluate};

    fn tag(text: &str) -> ETag {
        ETag::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_strong_tag_gets_an_ending_and_a_weak_one_stays() {
        assert_eq!(gzip_tag(&tag("\"v7\"")), Some(tag("\"v7--gzip\"")));
        assert_eq!(gzip_tag(&tag("\"\"")), Some(tag("\"--gzip\"")));
        assert_eq!(gzip_tag(&tag("W/\"v7\"")), None);
    }

    #[test]
    fn the_plain_tags_come_in_front() {
        for (value, shown) in [
            ("\"v7--gzip\"", Some("\"v7\", \"v7--gzip\"")),
            (
                "\"a\", W/\"v7--gzip\",\"b--gzip\"",
                Some("W/\"v7\", \"b\", \"a\", W/\"v7--gzip\",\"b--gzip\""),
            ),
            ("\"v7--gzip\", broken", Some("\"v7\", \"v7--gzip\", broken")),
            ("\"v7\"", None),
            ("\"v7-gzip\"", None),
            ("*", None),
            ("", None),
            ("broken, \"v7--gzip\"", None),
        ] {
            let plain = with_plain_tags(value.as_bytes());
            assert_eq!(plain.as_deref(), shown.map(str::as_bytes), "{value}");
        }
        assert!(names_gzip_of(b"\"a\", W/\"v7--gzip\"", &tag("\"v7\"")));
        assert!(!names_gzip_of(b"\"v7\", \"v8--gzip\"", &tag("\"v7\"")));
    }

    proptest! {
        /// A client that has the gzip may write, and is told that it is fresh;
        /// one that has the gzip of another may not, and is not.
        #[test]
        fn conditions_hold_of_the_gzip_as_of_the_plain(opaque in "[!#-~]{0,12}", other in "[!#-~]{0,12}") {
            let etag = ETag::strong(&opaque).unwrap();
            let coded = gzip_tag(&etag).unwrap();
            let sent = with_plain_tags(coded.header_value().as_bytes()).unwrap();
            let current = |etag| Some(Validators { etag: Some(etag), last_modified: None });
            let if_match = Conditions { if_match: Some(&sent), ..Default::default() };
            let if_none = Conditions { if_none_match: Some(&sent), ..Default::default() };
            prop_assert_eq!(evaluate(false, &if_match, current(&etag)), Verdict::Proceed);
            prop_assert_eq!(evaluate(true, &if_none, current(&etag)), Verdict::NotModified);
            prop_assert!(names_gzip_of(&sent, &etag));
            let other = ETag::strong(&format!("{other}.")).unwrap();
            if !other.strong_eq(&etag) && !other.strong_eq(&coded) {
                prop_assert_eq!(evaluate(false, &if_match, current(&other)), Verdict::PreconditionFailed);
                prop_assert_eq!(evaluate(true, &if_none, current(&other)), Verdict::Proceed);
            }
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = with_plain_tags(&value);
        }
    }
}
