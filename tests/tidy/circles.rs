//! No circles: not between the rooms of a crate (the modules below its root),
//! and not between the files of a room. A path that names a module makes an
//! arrow between the two siblings it leads from and to; what a file has from
//! its parent, or a parent from its children, makes none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::read_reexports;
use crate::source::{Source, identifier, words};

/// The circles that still stand, by room (empty: between rooms). None may be
/// added, and one that is broken up goes from here.
const STANDING: &[(&str, &[&str])] = &[
    ("store/sqlite", &["logins", "session", "writes"]),
    ("topology", &["hwloc", "machine", "sysfs"]),
];

#[test]
fn no_rooms_and_no_files_of_a_room_stand_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = Source::read_all(root, &["src", "crates"]);
    let found = circles(sources.iter().map(|s| (&*s.path, &*s.product)));
    let standing = STANDING.iter().map(|(room, names)| {
        let names = names.iter().map(|name| (*name).to_owned());
        ((*room).to_owned(), names.collect::<Vec<_>>())
    });
    let standing: BTreeSet<Circle> = standing.collect();
    let new: Vec<_> = found.difference(&standing).collect();
    let gone: Vec<_> = standing.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "circles that are not in STANDING: {new:#?}\ncircles to take out of STANDING: {gone:#?}"
    );
}

/// A room, and what in it stands in a circle, in order.
type Circle = (String, Vec<String>);

/// Module path below a crate's root: `src/http1/head.rs` is `http1`, `head`.
type Module = Vec<String>;

/// Among the children of one module: whom each names.
type Arrows<'a> = BTreeMap<&'a str, BTreeSet<String>>;

fn circles<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeSet<Circle> {
    let mut crates: BTreeMap<&str, Vec<(Module, &str)>> = BTreeMap::new();
    for (path, product) in files {
        if let Some((root, module)) = place(path) {
            crates.entry(root).or_default().push((module, product));
        }
    }
    crates.values().flat_map(|files| of_crate(files)).collect()
}

/// The source root of a crate that the file belongs to, and its module.
fn place(path: &str) -> Option<(&str, Module)> {
    let end = match path.starts_with("src/") {
        true => "src/".len(),
        false => path.starts_with("crates/").then(|| path.find("/src/"))?? + "/src/".len(),
    };
    let inner = path[end..].trim_end_matches(".rs").trim_end_matches("/mod");
    let module = match inner {
        "lib" | "main" => Module::new(),
        inner => inner.split('/').map(str::to_owned).collect(),
    };
    Some((&path[..end], module))
}

fn of_crate(files: &[(Module, &str)]) -> Vec<Circle> {
    let modules: BTreeSet<&Module> = files.iter().map(|(module, _)| module).collect();
    let root = files.iter().filter(|(module, _)| module.is_empty());
    let reexports: BTreeMap<_, _> = root.flat_map(|(_, code)| read_reexports(code)).collect();
    // By room: who names whom.
    let mut rooms: BTreeMap<&[String], Arrows<'_>> = BTreeMap::new();
    for (module, product) in files {
        for path in paths_of(product) {
            let Some(target) = resolve(module, &path, &modules, &reexports) else {
                continue;
            };
            let common = module
                .iter()
                .zip(&target)
                .take_while(|(a, b)| a == b)
                .count();
            if let (Some(from), Some(to)) = (module.get(common), target.get(common)) {
                let room = rooms.entry(&module[..common]).or_default();
                room.entry(from).or_default().insert(to.clone());
            }
        }
    }
    let found = rooms.iter().flat_map(|(room, arrows)| {
        let circles = circles_among(arrows).into_iter();
        circles.map(|names| (room.join("/"), names))
    });
    found.collect()
}

/// The module that a path leads to, as far as it names modules.
fn resolve(
    own: &Module,
    path: &[String],
    modules: &BTreeSet<&Module>,
    reexports: &BTreeMap<String, String>,
) -> Option<Module> {
    let mut rest = path.iter().peekable();
    let mut at = match rest.next()?.as_str() {
        "crate" => Module::new(),
        "self" => own.clone(),
        _ => own[..own.len().checked_sub(1)?].to_vec(),
    };
    while rest.next_if(|name| *name == "super").is_some() {
        at.pop()?;
    }
    if at.is_empty()
        && let Some(module) = rest.peek().and_then(|name| reexports.get(*name))
    {
        return Some(vec![module.clone()]);
    }
    for name in rest {
        at.push(name.clone());
        if !modules.iter().any(|module| module.starts_with(&at)) {
            at.pop();
            break;
        }
    }
    Some(at)
}

/// Paths from the root, the parent or the module itself; each of a group.
fn paths_of(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for start in ["crate", "super", "self"] {
        let starts = words(code, start).into_iter();
        let starts = starts.filter(|at| !code[..*at].ends_with("::"));
        for at in starts.filter(|at| code[at + start.len()..].starts_with("::")) {
            read_paths(&code[at..], &[], &mut paths);
        }
    }
    paths
}

/// Reads one path or group of paths; what is left of the text.
fn read_paths<'a>(text: &'a str, before: &[String], into: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = before.to_vec();
    let mut text = text.trim_start();
    loop {
        if let Some(mut group) = text.strip_prefix('{') {
            loop {
                group = read_paths(group, &path, into);
                let Some(end) = group.find([',', '}']) else {
                    return "";
                };
                let is_last = group[end..].starts_with('}');
                group = &group[end + 1..];
                if is_last {
                    return group;
                }
            }
        }
        let name = identifier(text);
        path.extend((!name.is_empty()).then(|| name.to_owned()));
        text = &text[name.len()..];
        match text.trim_start().strip_prefix("::") {
            Some(rest) if !name.is_empty() => text = rest.trim_start(),
            _ => break,
        }
    }
    into.push(path);
    text
}

/// The largest sets of which each reaches each.
fn circles_among(arrows: &Arrows<'_>) -> BTreeSet<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows
        .keys()
        .map(|name| (*name, reach(arrows, name)))
        .collect();
    let circles = reached.iter().filter(|(name, reach)| reach.contains(*name));
    let circles = circles.map(|(name, reach)| {
        let back = reach.iter().filter(|other| {
            let reach = reached.get(**other);
            reach.is_some_and(|reach| reach.contains(name))
        });
        back.map(|name| (*name).to_owned()).collect()
    });
    circles.collect()
}

/// Where arrows lead from a name, over others, too.
fn reach<'a>(arrows: &'a Arrows<'a>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(name) = next.pop() {
        let names = arrows.get(name).into_iter().flatten();
        next.extend(names.map(String::as_str).filter(|to| reached.insert(*to)));
    }
    reached
}

#[test]
fn circles_are_found_between_rooms_and_between_files_in_any_crate() {
    let files = [
        ("src/lib.rs", "mod a; mod b; mod c; pub use b::Thing;"),
        ("src/a.rs", "use crate::{Thing, c::{self, More}};"),
        ("src/b/mod.rs", "mod one; mod two; mod three; use one::X;"),
        ("src/b/one.rs", "use super::{Y, two::Z}; use crate::a::A;"),
        ("src/b/two.rs", "fn f() { super::three::g::<u8>() }"),
        ("src/b/three/deep.rs", "use super::super::one;"),
        ("src/c.rs", "use std::fmt; pub(crate) fn f() { self.g() }"),
        ("crates/x/src/lib.rs", "mod a; mod b;"),
        ("crates/x/src/a.rs", "use crate::b;"),
        ("crates/x/src/b.rs", "use super::a;"),
        ("crates/x/tests/it.rs", "use crate::it;"),
    ];
    let found: Vec<Circle> = circles(files.into_iter()).into_iter().collect();
    let circle = |room: &str, names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned());
        (room.to_owned(), names.collect())
    };
    // One of `src` and one of `crates/x` are the same by name.
    let expected = [
        circle("", &["a", "b"]),
        circle("b", &["one", "three", "two"]),
    ];
    assert_eq!(found, expected);
    let broken = files
        .into_iter()
        .filter(|(path, _)| !path.ends_with("/deep.rs"));
    assert!(!circles(broken).contains(&expected[1]));
}
