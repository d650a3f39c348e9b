//! Rust source as the style tests read it: text with comments, strings and
//! test code blanked out, same length and lines, so that a byte found in it is
//! code and its line number is that of the file.

use std::path::{Path, PathBuf};

/// One Rust file.
pub(crate) struct Source {
    /// Path from the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
    /// `text` without comments and the insides of literals.
    pub(crate) code: String,
    /// `code` without items under `#[cfg(test)]`; empty for a test file.
    pub(crate) product: String,
}

impl Source {
    /// Every Rust file under these folders.
    pub(crate) fn read_all(root: &Path, folders: &[&str]) -> Vec<Self> {
        let mut paths = Vec::new();
        for folder in folders {
            collect(&root.join(folder), &mut paths);
        }
        paths.sort();
        let mut sources: Vec<Self> = paths.iter().map(|path| Self::read(root, path)).collect();
        let tests: Vec<String> = sources.iter().flat_map(Self::test_modules).collect();
        for source in &mut sources {
            let declared = tests
                .iter()
                .any(|test| source.path.starts_with(test.as_str()));
            if declared || source.path.ends_with("_tests.rs") {
                source.product.clear();
            }
        }
        sources
    }

    fn read(root: &Path, path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a readable source file");
        let code = blank_comments_and_literals(&text);
        let product = blank_test_items(&code);
        let path = path
            .strip_prefix(root)
            .expect("under the root")
            .to_str()
            .expect("UTF-8");
        Self {
            path: path.to_owned(),
            text,
            code,
            product,
        }
    }

    /// Starts of the paths of the modules declared as `#[cfg(test)] mod x;`.
    fn test_modules(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (start, end) in test_items(&self.code) {
            let item = self.code[start..end].trim();
            if let Some((_, name)) = item.trim_end_matches(';').rsplit_once("mod ")
                && item.ends_with(';')
            {
                let folder = self.module_folder();
                found.push(format!("{folder}/{}.rs", name.trim()));
                found.push(format!("{folder}/{}/", name.trim()));
            }
        }
        found
    }

    /// The folder that the file's child modules are in.
    fn module_folder(&self) -> String {
        let (folder, file) = self.path.rsplit_once('/').expect("a folder");
        match file {
            "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
            _ => format!("{folder}/{}", file.trim_end_matches(".rs")),
        }
    }

    /// Path of the module below the crate root: `src/http1/head.rs` is
    /// `["http1", "head"]`.
    pub(crate) fn module_path(&self) -> Vec<&str> {
        let inner = match self.path.split_once("/src/") {
            Some((folder, inner)) if folder.starts_with("crates/") => inner,
            _ => self.path.strip_prefix("src/").unwrap_or(&self.path),
        };
        let inner = inner.trim_end_matches(".rs").trim_end_matches("/mod");
        if matches!(inner, "lib" | "main") {
            Vec::new()
        } else {
            inner.split('/').collect()
        }
    }

    /// Line number, from 1, of a byte of the file.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        self.text[..at].bytes().filter(|b| *b == b'\n').count() + 1
    }

    /// What `crate::` and long chains of `super::` name at the crate root, in
    /// product code, with where.
    pub(crate) fn root_names(&self) -> Vec<(usize, String)> {
        let mut names = Vec::new();
        for at in words(&self.product, "crate") {
            if let Some(rest) = self.product[at + 5..].strip_prefix("::") {
                names.extend(first_names(rest).into_iter().map(|name| (at, name)));
            }
        }
        let depth = self.module_path().len();
        for at in words(&self.product, "super") {
            let chain = self.product[at..]
                .split("::")
                .take_while(|part| *part == "super")
                .count();
            let is_start = !self.product[..at].ends_with("::");
            if is_start && chain >= depth && depth > 0 {
                let rest = &self.product[at + chain * "super::".len()..];
                names.extend(first_names(rest).into_iter().map(|name| (at, name)));
            }
        }
        names
    }

    /// Functions as (start, name, lines from `fn` to the closing brace).
    pub(crate) fn functions(&self) -> Vec<(usize, String, usize)> {
        let mut found = Vec::new();
        for at in words(&self.code, "fn") {
            let name = identifier(self.code[at + 2..].trim_start());
            if name.is_empty() {
                continue;
            }
            if let Some(end) = end_of_item(&self.code, at) {
                let lines = self.code[at..end].matches('\n').count() + 1;
                found.push((at, name.to_owned(), lines));
            }
        }
        found
    }
}

/// Positions of a whole word in code.
pub(crate) fn words(code: &str, word: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || !is_word(bytes[at - 1]))
        .filter(|at| bytes.get(at + word.len()).is_none_or(|b| !is_word(*b)))
        .collect()
}

/// The identifier that `text` starts with; empty if none.
pub(crate) fn identifier(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    &text[..end]
}

/// First names of a path or of each path in a use group.
fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![identifier(rest).to_owned()];
    };
    let mut names = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b',' | b'}' if depth == 0 => {
                names.push(identifier(group[start..at].trim_start()).to_owned());
                start = at + 1;
                if byte == b'}' {
                    break;
                }
            }
            b'}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn collect(path: &Path, paths: &mut Vec<PathBuf>) {
    if path.is_file() {
        if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path.to_owned());
        }
        return;
    }
    let Ok(entries) = std::fs::read_dir(path) else {
        return;
    };
    for entry in entries {
        let entry = entry.expect("a folder entry").path();
        if entry.file_name().is_some_and(|name| name != "target") {
            collect(&entry, paths);
        }
    }
}

/// End of the item that starts at `start`: its closing brace, or its `;`.
fn end_of_item(code: &str, start: usize) -> Option<usize> {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others = others.saturating_sub(1),
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            b';' if braces == 0 && others == 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

const CFG_TEST: &str = "#[cfg(test)]";

/// Items under `#[cfg(test)]`, attribute included.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let starts = code.match_indices(CFG_TEST).map(|(at, _)| at);
    starts
        .map(|at| {
            let item = at + CFG_TEST.len();
            (at, end_of_item(code, item).unwrap_or(code.len()))
        })
        .collect()
}

fn blank_test_items(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for (start, end) in test_items(code) {
        blank(&mut bytes[start..end]);
    }
    String::from_utf8(bytes).expect("blanked in whole characters")
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

/// A small lexer: enough to know comments and literals from code.
fn blank_comments_and_literals(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + token_length(&text.as_bytes()[at..], at > 0 && is_word(bytes[at - 1]));
        let opaque = end - at > 1 || !text.as_bytes()[at].is_ascii();
        if opaque {
            blank(&mut bytes[at..end]);
        }
        at = end;
    }
    String::from_utf8(bytes).expect("blanked in whole characters")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Length of the comment or literal that `rest` starts with; 1 if none.
fn token_length(rest: &[u8], in_word: bool) -> usize {
    match rest {
        [b'/', b'/', ..] => until(rest, b"\n", 2),
        [b'/', b'*', ..] => block_comment_length(rest),
        [b'"', ..] => string_length(rest),
        [b'r', b'"' | b'#', ..] if !in_word => raw_string_length(rest).unwrap_or(1),
        [b'b', b'r', b'"' | b'#', ..] if !in_word => {
            raw_string_length(&rest[1..]).map_or(1, |length| length + 1)
        }
        [b'\'', b'\\', ..] => until(rest, b"'", 3) + 1,
        [b'\'', first, ..] => {
            let width = match first {
                0..0x80 => 1,
                0x80..0xe0 => 2,
                0xe0..0xf0 => 3,
                _ => 4,
            };
            if rest.get(1 + width) == Some(&b'\'') {
                width + 2
            } else {
                1
            }
        }
        _ => 1,
    }
}

fn until(rest: &[u8], end: &[u8], from: usize) -> usize {
    let found = rest[from.min(rest.len())..]
        .windows(end.len())
        .position(|w| w == end);
    found.map_or(rest.len(), |at| at + from)
}

fn block_comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

fn string_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string_length(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    Some(until(rest, &end, 2 + hashes) + end.len())
}

#[test]
fn comments_and_literals_are_blanked_and_code_is_not() {
    let text = r##"let a = "fn // x"; /* unsafe /* fn */ */ let b = 'x'; // 'unsafe
let c = r#"unsafe " fn"#; fn d<'a>(e: &'a str) -> char { '\'' }"##;
    let code = blank_comments_and_literals(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(words(&code, "unsafe"), Vec::<usize>::new());
    assert_eq!(words(&code, "fn"), vec![text.find("fn d").unwrap()]);
    assert!(code.contains("<'a>(e: &'a str) -> char {"), "{code}");
}

#[test]
fn names_at_the_root_are_found_through_groups() {
    let names = first_names("{Error, app::{Ctx, self}, clock}; crate::x");
    assert_eq!(names, ["Error", "app", "clock"]);
    assert_eq!(first_names("engine::sleep(1)"), ["engine"]);
}

#[test]
fn test_items_are_not_product_code() {
    let code = "use a;\n#[cfg(test)]\nmod tests { fn x() { y() } }\nfn product() {}";
    let product = blank_test_items(code);
    assert!(
        !product.contains("fn x") && product.contains("fn product"),
        "{product}"
    );
}
