//! What POST, PUT and PATCH send, checked field by field.
//!
//! Bodies are read as a JSON tree rather than derived, because a derived type
//! stops at the first fault and the client is to be told all of them.

use serde_json::{Map, Value};

use crate::Error;
use crate::handlers::validate::{Faults, fault};
use crate::limits::{USER_AGE_YEARS_MAX, USER_EMAIL_BYTES_MAX, USER_NAME_CHARS_MAX};
use crate::store::{Location, NewUser, UserPatch};

/// The user in the body of a POST or PUT.
///
/// # Errors
/// 400 when the body is not JSON, 422 naming every field that is missing,
/// wrong, read-only or unknown.
pub fn parse_new_user(body: &[u8]) -> Result<NewUser, Error> {
    let object = parse_object(body)?;
    let mut faults = Faults::new();
    let name = required(&object, "name", &mut faults).and_then(|v| check_name(v, &mut faults));
    let email = required(&object, "email", &mut faults).and_then(|v| check_email(v, &mut faults));
    let age = required(&object, "age", &mut faults).and_then(|v| check_age(v, &mut faults));
    let location = match object.get("location") {
        None | Some(Value::Null) => Some(None),
        Some(value) => check_whole_location(value, &mut faults).map(Some),
    };
    refuse_others(&object, &mut faults);
    let user = name
        .zip(email)
        .zip(age)
        .zip(location)
        .map(|(((name, email), age), location)| NewUser {
            name,
            email,
            age,
            location,
        });
    faults.unless_any(user)
}

/// The merge patch (RFC 7396) in the body of a PATCH.
///
/// # Errors
/// As [`parse_new_user`]; nothing is required, but only `location` can be
/// removed by `null`.
pub fn parse_merge_patch(body: &[u8]) -> Result<MergePatch, Error> {
    let object = parse_object(body)?;
    let mut faults = Faults::new();
    let patch = MergePatch {
        name: object.get("name").and_then(|v| check_name(v, &mut faults)),
        email: object
            .get("email")
            .and_then(|v| check_email(v, &mut faults)),
        age: object.get("age").and_then(|v| check_age(v, &mut faults)),
        location: match object.get("location") {
            None => LocationPatch::Keep,
            Some(Value::Null) => LocationPatch::Remove,
            Some(value) => check_location_patch(value, &mut faults),
        },
    };
    refuse_others(&object, &mut faults);
    faults.unless_any(Some(patch))
}

/// A merge patch of a user; absent fields stay.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct MergePatch {
    pub name: Option<String>,
    pub email: Option<String>,
    pub age: Option<i64>,
    pub location: LocationPatch,
}

/// What becomes of the location.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LocationPatch {
    /// It stays.
    Keep,
    /// `null`: it goes.
    Remove,
    /// An object: its members are merged into the current one's.
    Merge {
        /// The new latitude; `None` keeps the current one.
        lat: Option<f64>,
        /// The new longitude; `None` keeps the current one.
        lon: Option<f64>,
    },
}

impl MergePatch {
    /// Whether the result depends on the row as it is now.
    pub fn needs_current(&self) -> bool {
        match self.location {
            LocationPatch::Merge { lat, lon } => lat.is_none() || lon.is_none(),
            LocationPatch::Keep | LocationPatch::Remove => false,
        }
    }

    /// The patch of columns, with `current` the location of the row as it is
    /// now, which [`needs_current`](Self::needs_current) tells whether it
    /// matters.
    ///
    /// # Errors
    /// 422 when the merged location would have only one coordinate.
    pub fn resolve(&self, current: Option<Location>) -> Result<UserPatch, Error> {
        let location = match self.location {
            LocationPatch::Keep => None,
            LocationPatch::Remove => Some(None),
            LocationPatch::Merge { lat, lon } => {
                let lat = lat.or(current.map(|at| at.lat));
                let lon = lon.or(current.map(|at| at.lon));
                let (Some(lat), Some(lon)) = (lat, lon) else {
                    return Err(fault("location", NOTHING_TO_MERGE_INTO));
                };
                Some(Some(Location { lat, lon }))
            }
        };
        Ok(UserPatch {
            name: self.name.clone(),
            email: self.email.clone(),
            age: self.age,
            location,
        })
    }
}

const NOTHING_TO_MERGE_INTO: &str = "needs both `lat` and `lon`: the user has no location yet";
const FIELDS: &[&str] = &["name", "email", "age", "location"];
const READ_ONLY: &[&str] = &["id", "created_at", "updated_at", "version"];
const COORDINATES: &[&str] = &["lat", "lon"];

fn parse_object(body: &[u8]) -> Result<Map<String, Value>, Error> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(fault("body", "must be a JSON object")),
        Err(error) => Err(Error::bad_request(format!(
            "the body is not well-formed JSON: {error}"
        ))),
    }
}

fn required<'a>(
    object: &'a Map<String, Value>,
    name: &'static str,
    faults: &mut Faults,
) -> Option<&'a Value> {
    let value = object.get(name);
    if value.is_none() {
        faults.add(name, "is required");
    }
    value
}

fn refuse_others(object: &Map<String, Value>, faults: &mut Faults) {
    for name in object.keys().map(String::as_str) {
        if READ_ONLY.contains(&name) {
            faults.add(name, "is set by the server; leave it out");
        } else if !FIELDS.contains(&name) {
            faults.add_unknown(name, FIELDS);
        }
    }
}

/// A name without the white space around it.
fn check_name(value: &Value, faults: &mut Faults) -> Option<String> {
    let checked = value.as_str().map(str::trim).filter(|name| {
        (1..=USER_NAME_CHARS_MAX).contains(&name.chars().count())
            && !name.chars().any(char::is_control)
    });
    if checked.is_none() {
        faults.add(
            "name",
            format!(
                "must be a string of 1 to {USER_NAME_CHARS_MAX} characters without control \
                 characters, not counting white space around it"
            ),
        );
    }
    checked.map(str::to_owned)
}

fn check_email(value: &Value, faults: &mut Faults) -> Option<String> {
    let checked = value.as_str().filter(|email| is_email(email));
    if checked.is_none() {
        faults.add(
            "email",
            format!(
                "must be a string like `name@example.org` of at most {USER_EMAIL_BYTES_MAX} bytes"
            ),
        );
    }
    checked.map(str::to_owned)
}

/// Catches slips, and anything that could not be an address. Whether mail
/// arrives there only mail can tell.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let local_char =
        |c: char| !c.is_whitespace() && !c.is_control() && !"\"(),:;<>@[\\]".contains(c);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= USER_EMAIL_BYTES_MAX
        && local.len() <= EMAIL_LOCAL_BYTES_MAX
        && local.chars().all(local_char)
        && local.split('.').all(|atom| !atom.is_empty())
        && domain.contains('.')
        && domain.split('.').all(label)
}

/// RFC 5321 section 4.5.3.1.1.
const EMAIL_LOCAL_BYTES_MAX: usize = 64;

fn check_age(value: &Value, faults: &mut Faults) -> Option<i64> {
    let checked = value
        .as_i64()
        .filter(|age| (0..=USER_AGE_YEARS_MAX).contains(age));
    if checked.is_none() {
        faults.add(
            "age",
            format!("must be a whole number from 0 to {USER_AGE_YEARS_MAX}"),
        );
    }
    checked
}

fn check_whole_location(value: &Value, faults: &mut Faults) -> Option<Location> {
    let object = check_location_object(value, faults)?;
    let lat = check_coordinate(object.get("lat"), "location.lat", 90.0, faults);
    let lon = check_coordinate(object.get("lon"), "location.lon", 180.0, faults);
    lat.zip(lon).map(|(lat, lon)| Location { lat, lon })
}

fn check_location_patch(value: &Value, faults: &mut Faults) -> LocationPatch {
    let Some(object) = check_location_object(value, faults) else {
        return LocationPatch::Keep;
    };
    let mut coordinate = |name, field, most| {
        let value = object.get(name)?;
        check_coordinate(Some(value), field, most, faults)
    };
    LocationPatch::Merge {
        lat: coordinate("lat", "location.lat", 90.0),
        lon: coordinate("lon", "location.lon", 180.0),
    }
}

fn check_location_object<'a>(
    value: &'a Value,
    faults: &mut Faults,
) -> Option<&'a Map<String, Value>> {
    let Some(object) = value.as_object() else {
        faults.add(
            "location",
            "must be null or an object of `lat` and `lon`, degrees",
        );
        return None;
    };
    for name in object.keys().map(String::as_str) {
        if !COORDINATES.contains(&name) {
            faults.add_unknown(
                &format!("location.{name}"),
                &["location.lat", "location.lon"],
            );
        }
    }
    Some(object)
}

fn check_coordinate(
    value: Option<&Value>,
    field: &'static str,
    most: f64,
    faults: &mut Faults,
) -> Option<f64> {
    let checked = value
        .and_then(Value::as_f64)
        .filter(|degrees| (-most..=most).contains(degrees));
    if checked.is_none() {
        faults.add(field, format!("must be a number from -{most} to {most}"));
    }
    checked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn new_user(value: &Value) -> Result<NewUser, Error> {
        parse_new_user(&serde_json::to_vec(value).unwrap())
    }

    fn patch(value: &Value) -> Result<MergePatch, Error> {
        parse_merge_patch(&serde_json::to_vec(value).unwrap())
    }

    fn wrong<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<String> {
        let error = result.unwrap_err();
        assert_eq!(error.status(), 422);
        error.fields().iter().map(|f| f.field.clone()).collect()
    }

    fn ada() -> Value {
        json!({"name": "Ada", "email": "ada@example.org", "age": 36})
    }

    fn ada_with(field: &str, value: Value) -> Value {
        let mut ada = ada();
        ada[field] = value;
        ada
    }

    #[test]
    fn a_good_user_is_taken_with_its_name_trimmed() {
        let user = new_user(&ada_with("name", json!(" \t Ada  Lovelace\n"))).unwrap();
        assert_eq!(user.name, "Ada  Lovelace");
        assert_eq!(user.location, None);
        let user = new_user(&ada_with("location", json!({"lat": -90, "lon": 180.0}))).unwrap();
        let pole = Location {
            lat: -90.0,
            lon: 180.0,
        };
        assert_eq!(user.location, Some(pole));
        assert_eq!(
            new_user(&ada_with("location", Value::Null))
                .unwrap()
                .location,
            None
        );
    }

    #[test]
    fn all_wrong_fields_are_named_at_once() {
        let all_wrong = json!({
            "name": "", "email": "x", "age": 1.5, "location": {"lat": 91, "lom": 1},
            "id": 1, "nmae": "Ada",
        });
        let mut fields = wrong(new_user(&all_wrong));
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "age",
                "email",
                "id",
                "location.lat",
                "location.lom",
                "location.lon",
                "name",
                "nmae"
            ]
        );
        assert_eq!(wrong(new_user(&json!({}))), ["name", "email", "age"]);
    }

    #[test]
    fn each_field_keeps_to_its_rule() {
        for (field, bad) in [
            ("name", json!(null)),
            ("name", json!(7)),
            ("name", json!(" \u{a0} ")),
            ("name", json!("a\u{0}b")),
            ("name", json!("a\u{85}b")),
            ("name", json!("x".repeat(101))),
            ("age", json!(null)),
            ("age", json!("36")),
            ("age", json!(36.0)),
            ("age", json!(-1)),
            ("age", json!(151)),
            ("age", json!(u64::MAX)),
            ("age", json!(true)),
            ("location", json!([])),
            ("location", json!("51,0")),
        ] {
            assert_eq!(
                wrong(new_user(&ada_with(field, bad.clone()))),
                [field],
                "{bad}"
            );
            if !bad.is_null() {
                assert_eq!(wrong(patch(&json!({field: bad}))), [field]);
            }
        }
        assert!(new_user(&ada_with("name", json!("é".repeat(100)))).is_ok());
        assert!(new_user(&ada_with("age", json!(150))).is_ok());
    }

    #[test]
    fn addresses_are_told_from_slips() {
        let longest = format!(
            "{}@{}.org",
            "l".repeat(64),
            vec!["d".repeat(60); 3].join(".")
        );
        for good in [
            "a@b.c",
            "first.last+tag@sub.example.org",
            "ö@exämple.org",
            &longest,
        ] {
            assert!(is_email(good), "{good}");
        }
        let too_long = format!("a@{}.org", vec!["d".repeat(62); 4].join("."));
        assert!(too_long.len() > USER_EMAIL_BYTES_MAX);
        for bad in [
            "",
            "@",
            "a@",
            "@b.c",
            "a@b",
            "a b@c.d",
            "a@b@c.d",
            ".a@b.c",
            "a.@b.c",
            "a..b@c.d",
            "a@b..c",
            "a@.b.c",
            "a@b.c.",
            "a@-b.c",
            "a@b-.c",
            "a@b_c.d",
            "a@b.c\n",
            "<a@b.c>",
            "a\u{0}@b.c",
            &format!("{}@b.c", "l".repeat(65)),
            &too_long,
        ] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_json_is_400_and_what_is_no_object_422() {
        for body in [
            &b""[..],
            b"{",
            b"{\"a\":1}x",
            b"\xff",
            b"{\"age\":1e999}",
            b"nul",
        ] {
            let error = parse_new_user(body).unwrap_err();
            assert_eq!(error.status(), 400, "{}", body.escape_ascii());
        }
        let deep = "[".repeat(100_000);
        assert_eq!(
            parse_merge_patch(deep.as_bytes()).unwrap_err().status(),
            400
        );
        for body in [&b"[]"[..], b"null", b"7", b"\"x\""] {
            assert_eq!(wrong(parse_new_user(body)), ["body"]);
            assert_eq!(wrong(parse_merge_patch(body)), ["body"]);
        }
    }

    #[test]
    fn a_patch_names_only_what_changes() {
        let empty = patch(&json!({})).unwrap();
        assert_eq!(empty.resolve(None).unwrap(), UserPatch::default());
        let age = patch(&json!({"age": 37})).unwrap().resolve(None).unwrap();
        let expected = UserPatch {
            age: Some(37),
            ..Default::default()
        };
        assert_eq!(age, expected);
        let null_fields = json!({"name": null, "email": null, "age": null, "version": null});
        assert_eq!(
            wrong(patch(&null_fields)),
            ["name", "email", "age", "version"]
        );
    }

    #[test]
    fn a_location_is_merged_as_rfc_7396_says() {
        let here = Location { lat: 1.0, lon: 2.0 };
        let resolved = |value: Value, current| {
            let patch = patch(&json!({"location": value})).unwrap();
            let needed = patch.needs_current();
            (needed, patch.resolve(current).map(|p| p.location).ok())
        };
        let both = Location { lat: 5.0, lon: 6.0 };
        let removed = Some(Some(None));
        assert_eq!(resolved(json!(null), Some(here)), (false, removed));
        let whole = json!({"lat": 5, "lon": 6});
        assert_eq!(resolved(whole, None), (false, Some(Some(Some(both)))));
        let moved = Location { lat: 5.0, lon: 2.0 };
        let half = json!({"lat": 5});
        assert_eq!(
            resolved(half.clone(), Some(here)),
            (true, Some(Some(Some(moved))))
        );
        assert_eq!(resolved(half, None), (true, None));
        assert_eq!(
            resolved(json!({}), Some(here)),
            (true, Some(Some(Some(here))))
        );
        assert_eq!(resolved(json!({}), None), (true, None));
        let half_removed = json!({"location": {"lat": null}});
        assert_eq!(wrong(patch(&half_removed)), ["location.lat"]);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,10}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            let key = prop_oneof![
                prop::sample::select(&["name", "email", "age", "location", "lat", "lon", "id"][..])
                    .prop_map(str::to_owned),
                "\\PC{0,8}",
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(key, inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_taken_or_refused_with_reasons(value in any_json()) {
            for error in [new_user(&value).err(), patch(&value).err()].into_iter().flatten() {
                prop_assert_eq!(error.status(), 422);
                prop_assert!(!error.fields().is_empty());
            }
        }

        #[test]
        fn any_bytes_are_taken_or_refused(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_new_user(&body);
            let _ = parse_merge_patch(&body);
        }

        #[test]
        fn any_text_is_an_address_or_not(text in "\\PC{0,20}@?\\PC{0,20}") {
            is_email(&text);
        }
    }
}
