//! A user row as it stands in Redis: JSON of its columns, in a fixed order.
//!
//! Whatever comes from there may be anybody's: what is no row is `None`. The
//! store's own limits are not asked again; they hold for whoever wrote it.

use serde::{Deserialize, Serialize};

use crate::store::{Location, User};

/// The first number says which columns there are; another one is another
/// version's.
#[derive(Serialize, Deserialize)]
struct Row<'a>(
    u8,
    i64,
    #[serde(borrow)] std::borrow::Cow<'a, str>,
    #[serde(borrow)] std::borrow::Cow<'a, str>,
    i64,
    Option<(f64, f64)>,
    i64,
    i64,
    i64,
);

const FORMAT: u8 = 1;

/// The row as bytes.
pub(super) fn encode(user: &User) -> Vec<u8> {
    let row = Row(
        FORMAT,
        user.id,
        user.name.as_str().into(),
        user.email.as_str().into(),
        user.age,
        user.location.map(|place| (place.lat, place.lon)),
        user.created_at_ms,
        user.updated_at_ms,
        user.version,
    );
    // It fails for no row: text, numbers, and degrees that are finite.
    serde_json::to_vec(&row).unwrap_or_default()
}

/// The row of this id, if these bytes are one.
pub(super) fn decode(id: i64, bytes: &[u8]) -> Option<User> {
    let row: Row<'_> = serde_json::from_slice(bytes).ok()?;
    let Row(FORMAT, own_id, name, email, age, location, created_at_ms, updated_at_ms, version) =
        row
    else {
        return None;
    };
    (own_id == id && version >= 1).then(|| User {
        id,
        name: name.into_owned(),
        email: email.into_owned(),
        age,
        location: location.map(|(lat, lon)| Location { lat, lon }),
        created_at_ms,
        updated_at_ms,
        version,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::representation::tests::ada;
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let user = ada();
        assert_eq!(decode(42, &encode(&user)), Some(user.clone()));
        assert_eq!(decode(43, &encode(&user)), None, "of another user");
        let nowhere = User {
            location: None,
            ..user
        };
        assert_eq!(decode(42, &encode(&nowhere)), Some(nowhere));
    }

    proptest! {
        #[test]
        fn any_row_survives(name in any::<String>(), lat in -90.0..=90.0, lon in -180.0..=180.0) {
            let user = User { name, location: Some(Location { lat, lon }), ..ada() };
            prop_assert_eq!(decode(42, &encode(&user)), Some(user));
        }

        #[test]
        fn any_bytes_are_a_row_or_not(bytes in any::<Vec<u8>>(), at in 0..64_usize) {
            let _ = decode(42, &bytes);
            let mut row = encode(&ada());
            let at = at % row.len();
            row[at] = bytes.first().copied().unwrap_or(b'x');
            let _ = decode(42, &row);
        }
    }
}
