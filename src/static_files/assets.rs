//! Names with a fingerprint of the content, `app.4f3a9c1b2d3e4f50.js` of
//! `app.js`: under such a name caches and a CDN keep a file for a year, for
//! other content has another name.
//!
//! The names that pages link to are found out once, at start (`Assets`). A
//! request for one is answered whether or not it is among them, as long as it
//! is the fingerprint of what the file is now; else as the plain name is.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::StaticFiles;
use crate::Ctx;
use crate::limits::{ASSET_BYTES_MAX, ASSETS_MAX};
use crate::semantics::ETag;
use crate::static_path::{PathRules, resolve};

/// The names of the files that were there at start, and where they are linked.
#[derive(Debug, Default)]
pub(super) struct Assets {
    /// `https://cdn.example.org`, or nothing.
    cdn_url: String,
    mount: String,
    /// By path under the root.
    names: HashMap<String, String>,
}

impl Ctx {
    /// The URL of a file below the root of the shard's [`StaticFiles`], under
    /// its name with a fingerprint and at the CDN, if there is one: what a page
    /// links to. A file that was not there at start, is longer than
    /// [`cached_file_bytes_max`](super::StaticOptions::cached_file_bytes_max) or
    /// a page itself keeps its plain name.
    ///
    /// # Panics
    /// When the app has no [`StaticFiles`] state.
    ///
    /// ```
    /// use corelane::{Ctx, Error, Response};
    ///
    /// async fn page(ctx: Ctx) -> Result<Response, Error> {
    ///     let script = ctx.asset_url("app.js");
    ///     Ok(Response::html(format!("<script src=\"{script}\"></script>")))
    /// }
    /// ```
    pub fn asset_url(&self, path: &str) -> String {
        self.state::<StaticFiles>().assets.url(path)
    }
}

impl Assets {
    /// No names but the plain ones.
    pub(super) fn none(cdn_url: &str, mount: &str) -> Self {
        Self {
            cdn_url: cdn_url.trim_end_matches('/').to_owned(),
            mount: mount.to_owned(),
            names: HashMap::new(),
        }
    }

    /// Reads what is below the root: at most [`ASSETS_MAX`] files and
    /// [`ASSET_BYTES_MAX`] bytes of them, in the order of their names. What
    /// cannot be read, or comes after that, keeps its plain name.
    pub(super) fn find(root: &Path, cdn_url: &str, mount: &str, file_bytes_max: u64) -> Self {
        let mut assets = Self::none(cdn_url, mount);
        let mut bytes_left = ASSET_BYTES_MAX;
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            for (name, is_folder, length) in entries_of(&root.join(&folder)) {
                let path = match folder.is_empty() {
                    true => name,
                    false => format!("{folder}/{name}"),
                };
                if is_folder {
                    folders.push(path);
                    continue;
                }
                if assets.names.len() == ASSETS_MAX || length > bytes_left {
                    return assets;
                }
                if length > file_bytes_max || is_page(&path) {
                    continue;
                }
                let Ok(content) = fs::read(root.join(&path)) else {
                    continue;
                };
                bytes_left -= length;
                if let Some(name) = named(&path, &fingerprint_in(&ETag::of_bytes(&content))) {
                    assets.names.insert(path, name);
                }
            }
        }
        assets
    }

    /// Where a file is linked to.
    fn url(&self, path: &str) -> String {
        let name = self.names.get(path).map_or(path, String::as_str);
        let name = utf8_percent_encode(name, PATH);
        format!("{}{}{name}", self.cdn_url, self.mount)
    }

    /// A page whose links to files with a fingerprint lead to the CDN; `None`
    /// when nothing is to be changed.
    pub(super) fn relink(&self, page: &[u8], page_path: &str) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(page).ok()?;
        // Then links are relative to somewhere else.
        if self.cdn_url.is_empty() || text.contains("<base") {
            return None;
        }
        let folder = page_path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut changed = String::with_capacity(text.len() + 256);
        let mut rest = text;
        while let Some((before, quote, after)) = next_link(rest) {
            let end = after.find(quote)?;
            changed.push_str(before);
            match self.target(&after[..end], folder) {
                Some(url) => changed.push_str(&url),
                None => changed.push_str(&after[..end]),
            }
            rest = &after[end..];
        }
        changed.push_str(rest);
        (changed != text).then(|| changed.into_bytes())
    }

    fn target(&self, link: &str, folder: &str) -> Option<String> {
        let path_end = link.find(['?', '#']).unwrap_or(link.len());
        let (path, rest) = link.split_at(path_end);
        let tail = match path.strip_prefix(&*self.mount) {
            Some(tail) => tail.to_owned(),
            None if path.is_empty() || path.starts_with('/') || path.contains(':') => return None,
            None if folder.is_empty() => path.to_owned(),
            None => format!("{folder}/{path}"),
        };
        let path = resolve(&tail, PathRules::default()).ok()?;
        let is_known = self.names.contains_key(path.as_str());
        is_known.then(|| self.url(path.as_str()) + rest)
    }
}

/// What of a page stands before the value of its next `src` or `href`, the
/// quote that ends the value, and what follows.
fn next_link(text: &str) -> Option<(&str, char, &str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find('=')?;
        from = at + 1;
        let name = &text[..at];
        let is_link = ["src", "href"].iter().any(|attribute| {
            name.strip_suffix(attribute)
                .is_some_and(|before| before.ends_with(|c: char| c.is_ascii_whitespace()))
        });
        if let Some(quote @ ('"' | '\'')) = text[from..].chars().next()
            && is_link
        {
            return Some((&text[..from + 1], quote, &text[from + 1..]));
        }
    }
}

/// Path of the file that a name with a fingerprint is of, and the fingerprint.
pub(super) fn plain_name(path: &str) -> Option<(String, &str)> {
    let (stem, extension) = path.rsplit_once('.')?;
    let (base, fingerprint) = stem.rsplit_once('.')?;
    let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let is_fingerprint =
        fingerprint.len() == FINGERPRINT_DIGITS && fingerprint.bytes().all(is_digit);
    let is_name = !base.is_empty() && !base.ends_with('/');
    (is_fingerprint && is_name).then(|| (format!("{base}.{extension}"), fingerprint))
}

fn named(path: &str, fingerprint: &str) -> Option<String> {
    let (stem, extension) = path.rsplit_once('.')?;
    let has_name = !stem.is_empty() && !stem.ends_with('/') && !extension.contains('/');
    has_name.then(|| format!("{stem}.{fingerprint}.{extension}"))
}

/// Of the content with this tag, which is its hash.
pub(super) fn fingerprint_in(of_bytes: &ETag) -> String {
    let digits = String::from_utf8_lossy(of_bytes.opaque()).into_owned();
    digits.chars().take(FINGERPRINT_DIGITS).collect()
}

/// Whether a file is a page, which is found under its plain name.
pub(super) fn is_page(path: &str) -> bool {
    path.ends_with(".html") || path.ends_with(".htm")
}

/// Name, whether it is a folder, and length in bytes; by name. Links are left
/// out, whatever they lead to, and so are hidden names.
fn entries_of(folder: &Path) -> Vec<(String, bool, u64)> {
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let kind = entry.file_type().ok()?;
        let is_served = !name.starts_with('.') && (kind.is_dir() || kind.is_file());
        let length = entry.metadata().map_or(0, |file| file.len());
        is_served.then_some((name, kind.is_dir(), length))
    };
    let mut entries: Vec<_> = read.filter_map(of).collect();
    entries.sort();
    entries
}

/// 64 bits of hash.
const FINGERPRINT_DIGITS: usize = 16;

/// What a path is written with as it is (RFC 3986).
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    fn assets() -> Assets {
        let names = [("app.js", "app.1.js"), ("css/a b.css", "css/a b.2.css")];
        Assets {
            cdn_url: "https://cdn.example".to_owned(),
            mount: "/static/".to_owned(),
            names: names.map(|(p, n)| (p.to_owned(), n.to_owned())).into(),
        }
    }

    #[test]
    fn a_name_is_taken_apart_as_it_was_made() {
        let fingerprint = fingerprint_in(&ETag::of_bytes(b"content"));
        assert_eq!(fingerprint.len(), FINGERPRINT_DIGITS);
        for path in ["app.js", "js/app.min.js", "a.b/c.d"] {
            let name = named(path, &fingerprint).unwrap();
            let (plain, found) = plain_name(&name).unwrap();
            assert_eq!((plain.as_str(), found), (path, fingerprint.as_str()));
        }
        for path in ["LICENSE", ".htaccess", "dir/.x", "a.b/c"] {
            assert_eq!(named(path, &fingerprint), None, "{path}");
        }
        for name in [
            "app.js",
            "app.0123.js",
            "app.0123456789ABCDEF.js",
            ".0123456789abcdef.js",
        ] {
            assert_eq!(plain_name(name), None, "{name}");
        }
    }

    #[test]
    fn links_of_a_page_lead_to_the_cdn() {
        let page = "<script src=\"app.js\"></script><link href='/static/css/a%20b.css?x#y'>\
                    <img data-src=\"app.js\" src=\"none.png\"><a href=\"//x/app.js\">src=\"app.js\"</a>\
                    <a href=\"http://x/app.js\"><a href=\"../app.js\"><a\n href=\"./app.js\">";
        let changed = assets().relink(page.as_bytes(), "index.html").unwrap();
        assert_eq!(
            String::from_utf8(changed).unwrap(),
            "<script src=\"https://cdn.example/static/app.1.js\"></script>\
             <link href='https://cdn.example/static/css/a%20b.2.css?x#y'>\
             <img data-src=\"app.js\" src=\"none.png\"><a href=\"//x/app.js\">src=\"app.js\"</a>\
             <a href=\"http://x/app.js\"><a href=\"../app.js\"><a\n \
             href=\"https://cdn.example/static/app.1.js\">"
        );
        let deeper = assets().relink(b"<script src=\"../app.js\">", "docs/index.html");
        let expected = b"<script src=\"https://cdn.example/static/app.1.js\">";
        assert_eq!(deeper.unwrap(), expected);
        for same in [
            "",
            "<p>",
            "<a href=",
            "<a href=\"app.js",
            "<base href=\"/x/\"><a href=\"app.js\">",
        ] {
            assert_eq!(
                assets().relink(same.as_bytes(), "index.html"),
                None,
                "{same}"
            );
        }
        let no_cdn = Assets {
            cdn_url: String::new(),
            ..assets()
        };
        assert_eq!(no_cdn.relink(page.as_bytes(), "index.html"), None);
        assert_eq!(no_cdn.url("app.js"), "/static/app.1.js");
        assert_eq!(no_cdn.url("new file.js"), "/static/new%20file.js");
    }
}
