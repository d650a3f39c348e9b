//! Content-Type of a file, by its name.

use http::HeaderValue;

/// `Content-Type` of a file name: text types say UTF-8, unknown ones are
/// `application/octet-stream`. For a precompressed file pass the name of the
/// original.
pub fn content_type(path: &str) -> HeaderValue {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => extension,
        _ => "",
    };
    let overridden = OVERRIDES
        .iter()
        .find(|(e, _)| extension.eq_ignore_ascii_case(e));
    let guessed = || mime_guess::from_ext(extension).first_raw();
    let Some(essence) = overridden.map(|(_, essence)| *essence).or_else(guessed) else {
        return HeaderValue::from_static("application/octet-stream");
    };
    if !is_text(essence) {
        return HeaderValue::from_static(essence);
    }
    HeaderValue::try_from(format!("{essence}; charset=utf-8"))
        .unwrap_or_else(|_| HeaderValue::from_static(essence))
}

fn is_text(essence: &str) -> bool {
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence,
            "application/json" | "application/javascript" | "application/xml" | "application/toml"
        )
}

/// Where the table of `mime_guess` is behind the registry or the web.
const OVERRIDES: [(&str, &str); 4] = [
    // RFC 9239.
    ("mjs", "text/javascript"),
    ("cjs", "text/javascript"),
    // Source maps.
    ("map", "application/json"),
    // MPEG transport streams (HLS), not DLNA's private type.
    ("ts", "video/mp2t"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_utf_8_and_the_rest_does_not() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("css/app.CSS", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("app.js.map", "application/json; charset=utf-8"),
            ("data.json", "application/json; charset=utf-8"),
            (
                "site.webmanifest",
                "application/manifest+json; charset=utf-8",
            ),
            ("feed.xml", "text/xml; charset=utf-8"),
            ("logo.svg", "image/svg+xml; charset=utf-8"),
            ("read.me.txt", "text/plain; charset=utf-8"),
            ("mod.wasm", "application/wasm"),
            ("photo.jpeg", "image/jpeg"),
            ("font.woff2", "font/woff2"),
            ("doc.pdf", "application/pdf"),
            ("film.mp4", "video/mp4"),
            ("a.tar.gz", "application/gzip"),
            ("LICENSE", "application/octet-stream"),
            ("x.unknown-type", "application/octet-stream"),
            ("dir.d/file", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), expected, "{name}");
        }
    }

    #[test]
    fn every_short_extension_has_a_sendable_type() {
        let letters = || ('a'..='z').chain('0'..='9');
        for (a, b) in letters().flat_map(|a| letters().map(move |b| (a, b))) {
            for c in letters() {
                let value = content_type(&format!("file.{a}{b}{c}"));
                assert!(
                    value.to_str().is_ok_and(|text| text.contains('/')),
                    "{a}{b}{c}"
                );
            }
        }
    }
}
