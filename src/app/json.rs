//! JSON as requests bring it: each member of an object once.
//!
//! Of two members of one name some readers take the first, others the last, or
//! fail (RFC 8259 section 4). A client that sends two has made a mistake, or means
//! one reader to see what another does not.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::Error;
use crate::error::FieldError;

/// Reads JSON as a `T`, looking at all of it, whatever `T` reads of it.
///
/// # Errors
/// 400 when it is not well-formed; 422 when it does not fit `T`, or when one of
/// its objects, however deep, has a member twice.
pub fn parse_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    let repeated = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let checked = EachOnce(&repeated).deserialize(&mut reader);
    let checked = checked.and_then(|()| reader.end());
    if let Some(name) = repeated.take() {
        let fault = FieldError::new(shortened(name), "is given more than once; give it once");
        return Err(Error::validation(vec![fault]));
    }
    checked.map_err(json_error)?;
    serde_json::from_slice(text).map_err(json_error)
}

fn json_error(error: serde_json::Error) -> Error {
    use serde_json::error::Category;
    match error.classify() {
        Category::Data => Error::validation(vec![FieldError::new("body", error.to_string())]),
        _ => Error::bad_request(format!("the body is not well-formed JSON: {error}")),
    }
}

/// It is the client's text and may be long.
fn shortened(name: String) -> String {
    match name.char_indices().nth(REPEATED_NAME_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name,
    }
}

/// Of a repeated name, as much as is said.
const REPEATED_NAME_CHARS_MAX: usize = 64;

/// Reads any value and keeps nothing of it; fails at a name that comes again in
/// its object, and leaves the name.
#[derive(Clone, Copy)]
struct EachOnce<'a>(&'a Cell<Option<String>>);

impl<'de> DeserializeSeed<'de> for EachOnce<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EachOnce<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if names.contains(&name) {
                self.0.set(Some(name));
                return Err(serde::de::Error::custom("a member is given twice"));
            }
            names.insert(name);
            members.next_value_seed(self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_member_given_twice_is_refused_wherever_it_stands() {
        for (text, name) in [
            (r#"{"a":1,"a":1}"#, "a"),
            (r#"{"a":1,"b":2,"\u0061":3}"#, "a"),
            (r#"{"x":{"lat":1,"lon":2,"lat":3}}"#, "lat"),
            (r#"[1,{"deep":[{"y":null,"y":true}]}]"#, "y"),
            (r#"{"":0,"":0}"#, ""),
        ] {
            let error = parse_json::<Value>(text.as_bytes()).unwrap_err();
            assert_eq!(error.status(), 422, "{text}");
            assert_eq!(error.fields()[0].field, name, "{text}");
        }
        let long = format!(r#"{{"{0}":1,"{0}":2}}"#, "ä".repeat(100));
        let error = parse_json::<Value>(long.as_bytes()).unwrap_err();
        assert_eq!(error.fields()[0].field.chars().count(), 67);
    }

    #[test]
    fn one_name_in_several_objects_is_fine() {
        let text = r#"{"a":{"a":[{"a":-1.5},{"a":"a"}]},"A":18446744073709551615}"#;
        let read: Value = parse_json(text.as_bytes()).unwrap();
        assert_eq!(read, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(parse_json::<Vec<u8>>(b" [1, 2] ").unwrap(), [1, 2]);
    }

    #[test]
    fn what_is_no_json_or_no_t_is_refused_as_before() {
        for text in [
            "",
            "{",
            "{} {}",
            r#"{"a":1,}"#,
            "{'a':1}",
            &"[".repeat(1_000),
        ] {
            let error = parse_json::<Value>(text.as_bytes()).unwrap_err();
            assert_eq!(error.status(), 400, "{text}");
        }
        assert_eq!(parse_json::<u8>(b"256").unwrap_err().status(), 422);
    }
}
