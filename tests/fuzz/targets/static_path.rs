//! Static paths: what is resolved names something under the root by plain
//! descent and survives being encoded anew; globs match what a table filled
//! from the end says.
//!
//! Input: one byte that decides the rules, then lines: the first is the tail
//! of the path as sent, the others are patterns.
#![no_main]

use std::path::{Component, Path};

use corelane_fuzz::static_path::{Glob, PathRules, Refusal, content_type, resolve};
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The table is filled in time quadratic in the path.
const GLOB_PATH_BYTES_MAX: usize = 128;

fuzz_target!(|data: &[u8]| {
    let Some((rules, Ok(text))) = data
        .split_first()
        .map(|(first, text)| (first, std::str::from_utf8(text)))
    else {
        return;
    };
    let hidden = rules % 2 == 1;
    let mut lines = text.split('\n');
    let tail = lines.next().unwrap_or_default();
    match resolve(tail, PathRules { hidden }) {
        Ok(path) => {
            let decoded = percent_decode_str(tail).decode_utf8().unwrap();
            let plain = without_dots(&decoded);
            assert_eq!(path.as_str(), plain, "decoded once, dots followed, and nothing else");
            check_descent(path.relative(), hidden);
            let again = path.as_str().split('/').map(encode).collect::<Vec<_>>();
            let again = again.join("/");
            assert_eq!(resolve(&again, PathRules { hidden }).as_ref(), Ok(&path));
            assert_eq!(resolve(tail, PathRules { hidden: true }), Ok(path.clone()));
            check_patterns(lines, path.relative());
        }
        Err(Refusal::Malformed) => {
            let broken = percent_decode_str(tail).decode_utf8().map_or(true, |path| {
                path.bytes().any(|byte| byte.is_ascii_control())
            });
            assert!(broken || tail.contains('%'), "{tail:?} is well formed");
        }
        Err(Refusal::NotServed) => assert!(!tail.is_empty()),
    }
});

/// From the end, so that what is counted are the names that `..` takes away.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut taken = 0;
    for name in path.split('/').rev() {
        match name {
            ".." => taken += 1,
            "." => {}
            // The slash at the end.
            "" => kept.push(name),
            _ if taken > 0 => taken -= 1,
            _ => kept.push(name),
        }
    }
    assert_eq!(taken, 0, "{path:?} leaves the root");
    kept.reverse();
    let ends_in_dots = [".", ".."].contains(&path.rsplit('/').next().unwrap());
    let names = kept.join("/");
    match ends_in_dots && !names.is_empty() {
        true => names + "/",
        false => names,
    }
}

fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string()
}

fn check_descent(relative: &str, hidden: bool) {
    assert!(!relative.bytes().any(|byte| byte.is_ascii_control()));
    let mut names = Vec::new();
    for component in Path::new(relative).components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().unwrap()),
            other => panic!("{other:?} in {relative:?}"),
        }
    }
    assert_eq!(names.join("/"), relative, "no empty segment, no `.`");
    for (index, name) in names.iter().enumerate() {
        let shown = hidden || !name.starts_with('.') || index == 0 && *name == ".well-known";
        assert!(shown && name.len() <= 255 && !name.contains('\\'));
    }
    assert!(!content_type(relative).is_empty());
}

fn check_patterns<'a>(patterns: impl Iterator<Item = &'a str>, path: &str) {
    for pattern in patterns.take(4) {
        let Ok(glob) = Glob::new(pattern) else {
            continue;
        };
        if path.len() > GLOB_PATH_BYTES_MAX {
            continue;
        }
        let subject = match path.rsplit_once('/') {
            Some((_, name)) if !pattern.contains('/') => name,
            _ => path,
        };
        // Eight decimals and more are no hash where there is no other.
        let mut runs = subject.split(|c: char| !c.is_ascii_hexdigit());
        let is_hash = |run: &str| run.len() >= 8 && run.bytes().any(|b| !b.is_ascii_digit());
        let has_hash = !pattern.contains("{hash}") || runs.any(is_hash);
        let expected = has_hash && fits(pattern.as_bytes(), subject.as_bytes());
        assert_eq!(glob.matches(path), expected, "{pattern:?} on {path:?}");
    }
}

/// `table[p][s]`: whether the pattern from `p` on fits the path from `s` on.
fn fits(pattern: &[u8], path: &[u8]) -> bool {
    let end = path.len();
    let mut table = vec![vec![false; end + 1]; pattern.len() + 1];
    table[pattern.len()][end] = true;
    for p in (0..pattern.len()).rev() {
        let starts_segment = p == 0 || pattern[p - 1] == b'/';
        for s in 0..=end {
            let run = |over: fn(&u8) -> bool| path[s..].iter().take_while(|b| over(b)).count();
            let rest = &pattern[p..];
            table[p][s] = if rest.starts_with(b"{hash}") {
                let digits = run(u8::is_ascii_hexdigit);
                (8..=digits).any(|taken| table[p + 6][s + taken])
            } else if rest.starts_with(b"**/") && starts_segment {
                let after_slash = (s..end).filter(|&at| path[at] == b'/').map(|at| at + 1);
                after_slash.chain([s]).any(|at| table[p + 3][at])
            } else if rest.starts_with(b"**") {
                (s..=end).any(|at| table[p + 2][at])
            } else if rest[0] == b'*' {
                let name = run(|&byte| byte != b'/');
                (0..=name).any(|taken| table[p + 1][s + taken])
            } else {
                let one = s < end && (path[s] == rest[0] || rest[0] == b'?' && path[s] != b'/');
                one && table[p + 1][s + 1]
            };
        }
    }
    table[0][0]
}
