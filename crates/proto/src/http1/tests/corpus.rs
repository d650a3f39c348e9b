//! The corpus of raw requests under `tests/corpus/http1`, fed whole, byte by
//! byte, and cut in two at every place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use super::talk;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/http1")
}

fn expectations() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(folder().join("expected.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

fn request(name: &str) -> Vec<u8> {
    fs::read(folder().join(format!("{name}.http"))).unwrap()
}

#[test]
fn every_file_has_an_expectation_and_the_other_way_round() {
    let files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            Some(
                entry
                    .unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(".http")?
                    .to_owned(),
            )
        })
        .collect();
    let expected: BTreeSet<String> = expectations().into_keys().collect();
    assert_eq!(files, expected);
    assert!(
        files.len() >= 80,
        "the corpus has shrunk to {}",
        files.len()
    );
}

#[test]
fn every_request_is_answered_as_expected_however_it_is_cut() {
    let mut wrong = Vec::new();
    for (name, expected) in expectations() {
        let raw = request(&name);
        let mut check = |how: String, answer: Vec<String>| {
            if answer != expected {
                wrong.push(format!("{name} {how}: {answer:?} instead of {expected:?}"));
            }
        };
        check("whole".into(), talk([raw.as_slice()]));
        check("byte by byte".into(), talk(raw.chunks(1)));
        // The two long ones would take minutes cut at every byte.
        let step = raw.len() / 2_000 + 1;
        for place in (0..raw.len()).step_by(step) {
            check(
                format!("cut at {place}"),
                talk([&raw[..place], &raw[place..]]),
            );
        }
    }
    wrong.truncate(20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each kind of refusal, so that one without a case is noticed.
#[test]
fn the_corpus_reaches_every_refusal() {
    let source = include_str!("../error.rs");
    let declared: BTreeSet<&str> = source
        .split("pub enum ParseError {")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next())
        .unwrap()
        .lines()
        .filter_map(|line| line.trim().strip_suffix(','))
        .filter(|line| !line.starts_with("//"))
        .collect();
    let expected = expectations();
    let reached: BTreeSet<&str> = expected
        .values()
        .flatten()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    assert_eq!(declared, reached);
    assert!(declared.len() > 30);
}
