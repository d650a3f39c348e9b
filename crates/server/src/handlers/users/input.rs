//! What POST, PUT and PATCH send, checked field by field.
//!
//! Bodies are read as a JSON tree rather than derived, because a derived type
//! stops at the first fault and the client is to be told all of them.

use serde_json::{Map, Value};

use crate::handlers::validate::{Faults, fault, is_visible};
use crate::store::limits::{USER_AGE_YEARS_MAX, USER_EMAIL_BYTES_MAX, USER_NAME_CHARS_MAX};
use crate::store::{Location, NewUser, UserPatch};
use corelane::Error;
use corelane::internals::app::parse_json;

/// The user in the body of a POST or PUT.
///
/// # Errors
/// 400 when the body is not JSON, 422 naming every field that is missing,
/// wrong, read-only or unknown, or the first that is there twice.
pub(super) fn parse_new_user(body: &[u8]) -> Result<NewUser, Error> {
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
pub(super) fn parse_merge_patch(body: &[u8]) -> Result<MergePatch, Error> {
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
pub(super) struct MergePatch {
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) age: Option<i64>,
    pub(super) location: LocationPatch,
}

/// What becomes of the location.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum LocationPatch {
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
    pub(super) fn needs_current(&self) -> bool {
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
    pub(super) fn resolve(&self, current: Option<Location>) -> Result<UserPatch, Error> {
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
    match parse_json(body)? {
        Value::Object(object) => Ok(object),
        _ => Err(fault("body", "must be a JSON object")),
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
            && name.chars().any(is_visible)
    });
    if checked.is_none() {
        faults.add(
            "name",
            format!(
                "must be a string of 1 to {USER_NAME_CHARS_MAX} characters, one of them \
                 visible, without control characters, not counting white space around it"
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
mod tests;
