//! House style as a test with a ratchet.
//!
//! Each rule finds breaches, counted per file. A breach is allowed only by a
//! line in `EXCEPTIONS` with its exact count: one more fails, and so does one
//! less, until the line is lowered. Lengths count everything, tests inside the
//! file included. The floors are those in the head of each crate's `lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

#[path = "tidy/breaches.rs"]
mod breaches;
#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/codec.rs"]
mod codec;
#[path = "tidy/source.rs"]
mod source;

use breaches::Breaches;
use source::{Source, identifier, words};

/// (rule, file, breaches): never more than there are, and never to grow.
const EXCEPTIONS: &[(&str, &str, usize)] = &[];

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 500;
const HEAD_LINES_MAX: usize = 15;
const MAIN_LINES_MAX: usize = 40;
/// rustfmt keeps code within 100; it leaves literals and comments to us.
const LINE_CHARACTERS_MAX: usize = 120;

/// The crates of the product, the lowest first: a folder of sources each.
const CRATES: &[&str] = &[
    "crates/proto/src",
    "crates/engine/src",
    "src",
    "crates/server/src",
];

/// The house style, in one test so that one run shows every breach.
#[test]
fn the_house_is_tidy() {
    let house = House::read();
    let mut breaches = Breaches::default();
    house.check_floors(&mut breaches);
    house.check_floor_one(&mut breaches);
    codec::check(house.modules(), &mut breaches);
    house.check_handlers(&mut breaches);
    house.check_outer_inputs(&mut breaches);
    house.check_unsafe(&mut breaches);
    house.check_reactor(&mut breaches);
    house.check_shared_state(&mut breaches);
    house.check_lengths(&mut breaches);
    house.check_heads(&mut breaches);
    house.check_names(&mut breaches);
    house.check_leftovers(&mut breaches);
    check_text_files(&mut breaches);
    breaches.judge(EXCEPTIONS);
}

#[test]
fn every_module_has_its_floor() {
    let house = House::read();
    for folder in CRATES {
        let path = format!("{folder}/lib.rs");
        let library = house.source(&path);
        let declared: BTreeSet<String> = words(&library.product, "mod")
            .into_iter()
            .map(|at| identifier(library.product[at + 3..].trim_start()).to_owned())
            .collect();
        let placed: BTreeSet<String> = house.floors[folder].keys().cloned().collect();
        assert_eq!(
            declared, placed,
            "modules of {path}, and the floors in its head"
        );
    }
}

/// The sources and what the heads of the crates' `lib.rs` say of them.
struct House {
    sources: Vec<Source>,
    /// By crate, then module.
    floors: BTreeMap<&'static str, BTreeMap<String, usize>>,
    /// `Error` is `error`'s, `App` is `app`'s: names at the crates' roots.
    reexports: BTreeMap<String, String>,
}

impl House {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = ["src", "crates", "tests", "benches", "examples"];
        let sources = Source::read_all(root, &folders);
        let mut house = Self {
            sources,
            floors: BTreeMap::new(),
            reexports: BTreeMap::new(),
        };
        for folder in CRATES {
            let library = house.source(&format!("{folder}/lib.rs"));
            let (floors, reexports) =
                (read_floors(&library.text), read_reexports(&library.product));
            assert!(
                !floors.is_empty(),
                "no floors in the head of {folder}/lib.rs"
            );
            house.floors.insert(folder, floors);
            house.reexports.extend(reexports);
        }
        house
    }

    fn source(&self, path: &str) -> &Source {
        let found = self.sources.iter().find(|source| source.path == path);
        found.unwrap_or_else(|| panic!("{path} is not there"))
    }

    /// Product files of the crates, with the top module each belongs to.
    fn modules(&self) -> impl Iterator<Item = (&Source, &str)> {
        let product = self
            .sources
            .iter()
            .filter(|source| crate_of(&source.path).is_some() && !source.product.is_empty());
        product.filter_map(|source| Some((source, *source.module_path().first()?)))
    }

    /// The floor of what the crate of `path` calls `module` at its root: its
    /// own, or what it has from a crate below.
    fn floor_of(&self, path: &str, module: &str) -> Option<usize> {
        let own = crate_of(path).and_then(|folder| self.floors[folder].get(module));
        let below = || {
            CRATES
                .iter()
                .find_map(|folder| self.floors[folder].get(module))
        };
        own.or_else(below).copied()
    }

    fn modules_of<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Source> {
        let of = self.modules().filter(|(_, module)| names.contains(module));
        of.map(|(source, _)| source)
    }

    fn floor_one(&self) -> impl Iterator<Item = &Source> {
        self.modules()
            .filter(|(source, module)| self.floor_of(&source.path, module) == Some(1))
            .map(|(source, _)| source)
    }

    /// A floor uses only floors below it, or itself; on floor 1 each module
    /// stands alone.
    fn check_floors(&self, breaches: &mut Breaches) {
        for (source, module) in self.modules() {
            let floor = self.floor_of(&source.path, module).expect("a floor");
            for (at, name) in source.root_names() {
                let used = self.reexports.get(&name).unwrap_or(&name);
                let Some(used_floor) = self.floor_of(&source.path, used) else {
                    continue;
                };
                let alone = floor == 1 && used_floor == 1 && used != module;
                if used_floor > floor || alone {
                    let why = format!("{module} (floor {floor}) uses {used} (floor {used_floor})");
                    breaches.add("floor-order", source, at, why);
                }
            }
        }
    }

    /// Bytes, events and `now` in; bytes and events out.
    fn check_floor_one(&self, breaches: &mut Breaches) {
        const FORBIDDEN: &[&str] = &[
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "ToSocketAddrs",
            "std::fs",
            "std::io::Read",
            "std::io::Write",
            "std::thread",
            "std::sync::Mutex",
            "Mutex",
            "RwLock",
            "Condvar",
            "async fn",
            ".await",
            "Instant::now",
            "SystemTime",
            "std::env",
        ];
        for source in self.floor_one() {
            breaches.add_each("sans-io", source, &source.product, FORBIDDEN);
        }
    }

    /// The file server is written on the public API like any user's code; the
    /// shipped application is a crate of its own.
    fn check_handlers(&self, breaches: &mut Breaches) {
        const WRITTEN_ON_THE_API: &[&str] = &["static_files"];
        for source in self.modules_of(WRITTEN_ON_THE_API) {
            for (at, name) in source.root_names() {
                if matches!(name.as_str(), "peers" | "shard" | "http1" | "router") {
                    breaches.add("handlers-private-door", source, at, name);
                }
            }
        }
        let app = self.source("src/app/mod.rs");
        let private = words(&app.product, "pub(crate) use");
        let names = private.into_iter().flat_map(|at| {
            let end = app.product[at..].find(';').expect("the end of a use") + at;
            let list = app.product[at..end].rsplit("::").next().unwrap_or_default();
            list.split([',', '{', '}'])
                .map(|name| name.trim().to_owned())
                .collect::<Vec<_>>()
        });
        for name in names.filter(|name| !name.is_empty()) {
            for source in self.modules_of(WRITTEN_ON_THE_API) {
                for at in words(&source.product, &name) {
                    breaches.add("handlers-private-door", source, at, name.clone());
                }
            }
        }
    }

    /// Nothing below floor 5 reads TOML, argv or the environment.
    fn check_outer_inputs(&self, breaches: &mut Breaches) {
        for (source, module) in self.modules() {
            if self.floor_of(&source.path, module) < Some(5) {
                let forbidden = &["toml::", "std::env", "env::var", "clap::"];
                breaches.add_each("outer-inputs", source, &source.product, forbidden);
            }
        }
    }

    fn check_unsafe(&self, breaches: &mut Breaches) {
        for source in &self.sources {
            for at in words(&source.code, "unsafe") {
                let rest = source.code[at + "unsafe".len()..].trim_start();
                // The ring of a rival, whose crate leaves its rules to the caller.
                let place = source.path.starts_with("crates/engine/src/")
                    || source.path == "benches/versus/rivals/raw-uring/src/ring.rs";
                if !place {
                    breaches.add("unsafe-place", source, at, "unsafe".into());
                } else if rest.starts_with('{') && !has_safety_note(source, at) {
                    breaches.add("unsafe-note", source, at, "no SAFETY note above".into());
                }
            }
        }
    }

    /// One file names the reactor.
    fn check_reactor(&self, breaches: &mut Breaches) {
        for (source, _) in self.modules() {
            if source.path.starts_with("crates/engine/src/monoio") {
                continue;
            }
            for at in words(&source.code, "monoio") {
                let line = source.code[..at]
                    .rsplit('\n')
                    .next()
                    .unwrap_or_default()
                    .trim();
                let names_our_file = source.path == "crates/engine/src/lib.rs"
                    && matches!(line, "mod" | "pub use" | "pub(crate) use");
                if !names_our_file {
                    breaches.add("reactor", source, at, "monoio".into());
                }
            }
        }
    }

    /// Shards share nothing mutable.
    fn check_shared_state(&self, breaches: &mut Breaches) {
        for source in self.modules_of(&[
            "router",
            "shard",
            "static_files",
            "handlers",
            "app",
            "middleware",
        ]) {
            let forbidden = &["Arc<Mutex", "Mutex<", "RwLock", "Atomic", "static mut"];
            breaches.add_each("shared-state", source, &source.product, forbidden);
        }
    }

    fn check_lengths(&self, breaches: &mut Breaches) {
        for source in &self.sources {
            let lines = source.text.lines().count();
            let most = if source.path == "crates/server/src/main.rs" {
                MAIN_LINES_MAX
            } else {
                FILE_LINES_MAX
            };
            if lines > most {
                breaches.add(
                    "long-file",
                    source,
                    0,
                    format!("{lines} lines, {most} at most"),
                );
            }
            for (at, name, lines) in source.functions() {
                if lines > FUNCTION_LINES_MAX {
                    breaches.add(
                        "long-function",
                        source,
                        at,
                        format!("{name}: {lines} lines"),
                    );
                }
            }
        }
    }

    /// A file says first what it is; a crate's documentation may say more.
    fn check_heads(&self, breaches: &mut Breaches) {
        for source in &self.sources {
            let head = source
                .text
                .lines()
                .take_while(|line| line.starts_with("//!"))
                .count();
            let most = if source.path.ends_with("src/lib.rs") {
                usize::MAX
            } else {
                HEAD_LINES_MAX
            };
            if head == 0 || head > most || source.text.starts_with("//! (being written)") {
                breaches.add("file-head", source, 0, format!("{head} lines of `//!`"));
            }
        }
    }

    fn check_names(&self, breaches: &mut Breaches) {
        for source in &self.sources {
            for part in source.module_path() {
                if matches!(
                    part,
                    "utils" | "util" | "common" | "helpers" | "helper" | "manager"
                ) {
                    breaches.add("name", source, 0, format!("a module named {part}"));
                }
            }
            for (at, name, _) in source.functions() {
                let is_ours = !source.path.starts_with("tests/");
                // `get_or_…` is what std calls it.
                let is_getter = name.starts_with("get_") && !name.starts_with("get_or_");
                if is_ours && is_getter && at < source.product.len() {
                    breaches.add("name", source, at, format!("`get_` in {name}"));
                }
            }
        }
    }

    fn check_leftovers(&self, breaches: &mut Breaches) {
        let macros = &["dbg!", "todo!", "unimplemented!"];
        let notes = [
            concat!("FIX", "ME"),
            concat!("XX", "X:"),
            concat!("TO", "DO"),
        ];
        for source in &self.sources {
            breaches.add_each("leftover", source, &source.code, macros);
            breaches.add_each("leftover", source, &source.text, &notes);
        }
    }
}

/// The crate whose source a path is.
fn crate_of(path: &str) -> Option<&'static str> {
    let is_in = |folder: &&&str| {
        path.strip_prefix(**folder)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    CRATES.iter().find(is_in).copied()
}

/// Lines `//! floor N  name  module module`, and lines that go on with modules.
fn read_floors(text: &str) -> BTreeMap<String, usize> {
    let mut floors = BTreeMap::new();
    let mut current = None;
    for line in text.lines().map_while(|line| line.strip_prefix("//!")) {
        let modules = match line.strip_prefix(" floor ") {
            Some(rest) => {
                let (number, rest) = rest.split_once(' ').expect("a floor's name");
                current = Some(number.parse().expect("a floor number"));
                rest.trim_start().split_once(' ').expect("modules").1
            }
            None if line.starts_with("      ") => line,
            None => {
                current = None;
                continue;
            }
        };
        if let Some(floor) = current {
            let names = modules.split_whitespace();
            floors.extend(names.map(|module| (module.to_owned(), floor)));
        }
    }
    floors
}

fn read_reexports(code: &str) -> BTreeMap<String, String> {
    let mut reexports = BTreeMap::new();
    for line in code
        .split(';')
        .filter_map(|item| item.trim().strip_prefix("pub use "))
    {
        let (module, names) = line.split_once("::").expect("a path");
        for name in names
            .split([',', '{', '}'])
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            reexports.insert(name.to_owned(), module.to_owned());
        }
    }
    reexports
}

/// Whether the comment right above (attributes and the rest of the statement
/// between) says SAFETY.
fn has_safety_note(source: &Source, at: usize) -> bool {
    let lines: Vec<&str> = source.text[..at].lines().collect();
    let above = lines.iter().rev().skip(1).take(8);
    let mut note = above.take_while(|line| !line.trim().is_empty() && line.trim() != "}");
    note.any(|line| line.trim_start().starts_with("//") && line.contains("SAFETY:"))
}

/// Every text file that is, or could be, committed.
fn check_text_files(breaches: &mut Breaches) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // In pieces, so that this file does not name what it looks for.
    let outside = [
        concat!("/wo", "rk/"),
        concat!("/mai", "n/target"),
        concat!("static.cra", "tes.io"),
        concat!("index.cra", "tes.io"),
        concat!("deb.deb", "ian.org"),
        concat!("registry.np", "mjs.org"),
        concat!("files.python", "hosted.org"),
    ];
    for path in files_of_repository(root) {
        // Raw requests keep their line ends.
        if path.starts_with("tests/corpus/") || path.starts_with("tests/fuzz/seeds/") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(root.join(&path)) else {
            continue;
        };
        let wide = [".md", ".csv"].iter().any(|end| path.ends_with(end))
            || path.contains("/fixtures/")
            || path.starts_with("Cargo.")
            || path.ends_with("/Cargo.toml");
        for (index, line) in text.lines().enumerate() {
            let mut breach = |rule, why: String| breaches.add_at(rule, &path, index + 1, why);
            if line.contains('\t') {
                breach("whitespace", "a tab".into());
            }
            if line.ends_with([' ', '\r']) {
                breach("whitespace", "a space at the end".into());
            }
            if !wide && line.chars().count() > LINE_CHARACTERS_MAX {
                breach("long-line", format!("{} characters", line.chars().count()));
            }
            for name in outside.iter().filter(|name| line.contains(**name)) {
                breach("outside-name", (*name).to_string());
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            breaches.add_at("whitespace", &path, 0, "no newline at the end".into());
        }
    }
}

/// By git where there is one, so that ignored files do not count.
fn files_of_repository(root: &Path) -> Vec<String> {
    let git = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    let listed = git
        .ok()
        .filter(|output| output.status.success())
        .map(|output| output.stdout);
    let listed = String::from_utf8(listed.unwrap_or_default()).expect("UTF-8 paths");
    if !listed.is_empty() {
        return listed.lines().map(str::to_owned).collect();
    }
    let sources = Source::read_all(root, &["src", "tests", "benches"]);
    sources.into_iter().map(|source| source.path).collect()
}
