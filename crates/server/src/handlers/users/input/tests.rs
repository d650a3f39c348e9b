//! Bodies that are taken, and what is said about those that are not.

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
fn a_coordinate_is_taken_to_its_last_bit() {
    let lat: f64 = 58.814_299_813_944_956;
    let user = new_user(&ada_with("location", json!({"lat": lat, "lon": 0})));
    assert_eq!(user.unwrap().location.unwrap().lat.to_bits(), lat.to_bits());
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
