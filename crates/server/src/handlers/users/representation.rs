//! A user as the API shows it: JSON, entity tag, modification time.
//!
//! The entity tag is `"u<id>-v<version>"`. It is strong because a version is
//! one set of column values and the JSON of a row is always written the same.

use crate::handlers::conditional::row_date;
use crate::handlers::json::ObjectWriter;
use crate::store::{Location, PartialUser, User, UserField};
use corelane::internals::semantics::{ETag, LastModified, TagRef, Validators};

/// Writes a whole user.
pub(super) fn push_user(out: &mut Vec<u8>, user: &User) {
    let mut object = ObjectWriter::open(out);
    push_members(&mut object, user);
    object.close();
}

/// Writes a user found by place, with its distance rounded to the metre.
pub(super) fn push_user_at_distance(out: &mut Vec<u8>, user: &User, distance_km: f64) {
    let mut object = ObjectWriter::open(out);
    push_members(&mut object, user);
    object.number("distance_km", (distance_km * 1_000.0).round() / 1_000.0);
    object.close();
}

/// Writes the columns of a user that were read.
pub(super) fn push_partial_user(out: &mut Vec<u8>, user: &PartialUser) {
    let mut object = ObjectWriter::open(out);
    if let Some(id) = user.id {
        object.integer(UserField::Id.name(), id);
    }
    if let Some(name) = &user.name {
        object.text(UserField::Name.name(), name);
    }
    if let Some(email) = &user.email {
        object.text(UserField::Email.name(), email);
    }
    if let Some(age) = user.age {
        object.integer(UserField::Age.name(), age);
    }
    if let Some(location) = user.location {
        push_location(&mut object, location);
    }
    if let Some(time) = user.created_at_ms {
        object.time(UserField::CreatedAt.name(), time);
    }
    if let Some(time) = user.updated_at_ms {
        object.time(UserField::UpdatedAt.name(), time);
    }
    if let Some(version) = user.version {
        object.integer(UserField::Version.name(), version);
    }
    object.close();
}

fn push_members(object: &mut ObjectWriter<'_>, user: &User) {
    object.integer(UserField::Id.name(), user.id);
    object.text(UserField::Name.name(), &user.name);
    object.text(UserField::Email.name(), &user.email);
    object.integer(UserField::Age.name(), user.age);
    push_location(object, user.location);
    object.time(UserField::CreatedAt.name(), user.created_at_ms);
    object.time(UserField::UpdatedAt.name(), user.updated_at_ms);
    object.integer(UserField::Version.name(), user.version);
}

fn push_location(object: &mut ObjectWriter<'_>, location: Option<Location>) {
    let Some(Location { lat, lon }) = location else {
        object.null(UserField::Location.name());
        return;
    };
    let mut inner = ObjectWriter::open(object.member(UserField::Location.name()));
    inner.number("lat", lat);
    inner.number("lon", lon);
    inner.close();
}

/// The entity tag of a user.
pub(super) fn user_etag(user: &User) -> ETag {
    ETag::strong(&format!("u{}-v{}", user.id, user.version))
        .expect("letters, digits and hyphens are an entity tag")
}

/// The version of user `id` that an entity tag names; `None` when it is weak
/// or not one of that user's tags.
pub(super) fn version_in_tag(id: i64, tag: TagRef<'_>) -> Option<i64> {
    if tag.weak {
        return None;
    }
    let text = std::str::from_utf8(tag.opaque).ok()?;
    let prefix = format!("u{id}-v");
    let digits = text.strip_prefix(&prefix)?;
    let version: i64 = digits.parse().ok().filter(|version| *version >= 1)?;
    // Tags are compared character by character: `v+7` and `v07` are not `v7`.
    (version.to_string() == digits).then_some(version)
}

/// The date of a user who was read from `looked_ms` of Unix time on.
pub(super) fn user_date(user: &User, looked_ms: i64) -> LastModified {
    let is_first = user.version == 1;
    row_date(is_first, user.created_at_ms, user.updated_at_ms, looked_ms)
}

/// The validators of a user whose tag is `etag`, read from `looked_ms` on.
pub(super) fn user_validators<'a>(user: &User, etag: &'a ETag, looked_ms: i64) -> Validators<'a> {
    Validators {
        etag: Some(etag),
        last_modified: Some(user_date(user, looked_ms)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    pub(in crate::handlers::users) fn ada() -> User {
        User {
            id: 42,
            name: "Ada \"Λ\" Lovelace".into(),
            email: "ada@example.org".into(),
            age: 36,
            location: Some(Location {
                lat: 51.5,
                lon: -0.125,
            }),
            created_at_ms: 1_709_210_096_007,
            updated_at_ms: 1_709_210_096_999,
            version: 3,
        }
    }

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_user_is_written_byte_for_byte() {
        assert_eq!(
            text(|out| push_user(out, &ada())),
            "{\"id\":42,\"name\":\"Ada \\\"Λ\\\" Lovelace\",\"email\":\"ada@example.org\",\
             \"age\":36,\"location\":{\"lat\":51.5,\"lon\":-0.125},\
             \"created_at\":\"2024-02-29T12:34:56.007Z\",\
             \"updated_at\":\"2024-02-29T12:34:56.999Z\",\"version\":3}"
        );
        let nowhere = User {
            location: None,
            ..ada()
        };
        assert!(text(|out| push_user(out, &nowhere)).contains("\"location\":null,"));
    }

    #[test]
    fn only_columns_that_were_read_are_written() {
        let mut partial = PartialUser {
            name: Some("Ada".into()),
            location: Some(None),
            ..Default::default()
        };
        assert_eq!(
            text(|out| push_partial_user(out, &partial)),
            "{\"name\":\"Ada\",\"location\":null}"
        );
        partial = PartialUser::default();
        assert_eq!(text(|out| push_partial_user(out, &partial)), "{}");
    }

    #[test]
    fn a_partial_user_of_all_columns_is_written_like_a_whole_one() {
        let user = ada();
        let partial = PartialUser {
            id: Some(user.id),
            name: Some(user.name.clone()),
            email: Some(user.email.clone()),
            age: Some(user.age),
            location: Some(user.location),
            created_at_ms: Some(user.created_at_ms),
            updated_at_ms: Some(user.updated_at_ms),
            version: Some(user.version),
        };
        assert_eq!(
            text(|out| push_partial_user(out, &partial)),
            text(|out| push_user(out, &user))
        );
        let object: Value =
            serde_json::from_str(&text(|out| push_partial_user(out, &partial))).unwrap();
        for field in UserField::ALL {
            assert!(object.get(field.name()).is_some(), "{field:?}");
        }
    }

    #[test]
    fn a_distance_is_rounded_to_the_metre() {
        let near = text(|out| push_user_at_distance(out, &ada(), 1.234_567));
        assert!(near.ends_with(",\"distance_km\":1.235}"), "{near}");
    }

    #[test]
    fn only_our_own_strong_tags_name_a_version() {
        let tag = |opaque: &'static str| TagRef {
            weak: false,
            opaque: opaque.as_bytes(),
        };
        assert_eq!(version_in_tag(42, user_etag(&ada()).as_tag_ref()), Some(3));
        let weak = TagRef {
            weak: true,
            ..tag("u42-v3")
        };
        assert_eq!(version_in_tag(42, weak), None);
        for opaque in [
            "u43-v3",
            "u42-v03",
            "u42-v+3",
            "u42-v0",
            "u42-v-1",
            "u42-v",
            "u42-v99999999999999999999",
            "U42-v3",
            "",
        ] {
            assert_eq!(version_in_tag(42, tag(opaque)), None, "{opaque}");
        }
    }

    #[test]
    fn a_time_before_1970_rounds_down_to_its_second() {
        let etag = user_etag(&ada());
        let user = User {
            updated_at_ms: -1,
            ..ada()
        };
        let validators = user_validators(&user, &etag, 10_000);
        assert_eq!(validators.last_modified.map(LastModified::second), Some(-1));
    }

    #[test]
    fn no_two_versions_have_one_date_that_stands() {
        let second = 1_709_210_096;
        let date = |version, updated_at_ms, looked_ms| {
            let user = User {
                version,
                created_at_ms: second * 1_000 + 100,
                updated_at_ms,
                ..ada()
            };
            let date = user_date(&user, looked_ms);
            (date.second() - second, date.stands())
        };
        let at = |ms: i64| second * 1_000 + ms;
        assert_eq!(date(1, at(100), at(100)), (0, true));
        assert_eq!(date(1, at(100), at(9_000)), (0, true));
        // Changed within the second in which it was made.
        assert_eq!(date(2, at(900), at(900)), (-1, false));
        assert_eq!(date(2, at(900), at(1_500)), (0, false));
        assert_eq!(date(2, at(900), at(9_000)), (1, true));
        assert_eq!(date(3, at(1_200), at(1_300)), (0, false));
        assert_eq!(date(3, at(5_200), at(5_900)), (4, false));
        assert_eq!(date(3, at(5_200), at(9_000)), (5, true));
    }

    proptest! {
        #[test]
        fn any_name_survives(name in any::<String>(), lat in -90.0..=90.0, lon in -180.0..=180.0) {
            let user = User {
                name: name.clone(),
                location: Some(Location { lat, lon }),
                ..ada()
            };
            let read: Value = serde_json::from_str(&text(|out| push_user(out, &user))).unwrap();
            prop_assert_eq!(&read["name"], &name);
            prop_assert_eq!(&read["location"]["lat"], lat);
            prop_assert_eq!(&read["location"]["lon"], lon);
        }
    }
}
