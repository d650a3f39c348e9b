//! A strict reader of HTTP/1.1 responses, written for the tests alone: it
//! shares nothing with the codec under test, so that a mistake there is not
//! made again here. Anything not exactly as RFC 9112 has it panics.

use xxhash_rust::xxh3::xxh3_64;

/// A whole response.
#[derive(Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// In order, as sent.
    pub(crate) headers: Vec<(String, String)>,
    /// Decoded from its framing.
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
}

/// How the end of the body was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The status or the request method allows no body.
    NoBody,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Response {
    /// The value of a header that may be there at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.header_all(name);
        assert!(
            values.len() <= 1,
            "{name} is there more than once: {self:?}"
        );
        values.first().copied()
    }

    /// All values of a header.
    pub(crate) fn header_all(&self, name: &str) -> Vec<&str> {
        let named = self
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a header that must be there.
    pub(crate) fn must_have(&self, name: &str) -> &str {
        self.header(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// Whether the server says it closes.
    pub(crate) fn says_close(&self) -> bool {
        self.header_all("connection")
            .into_iter()
            .flat_map(|value| value.split(','))
            .any(|option| option.trim().eq_ignore_ascii_case("close"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a UTF-8 body")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.text()))
    }

    pub(crate) fn hash(&self) -> u64 {
        hash_of(&self.body)
    }

    /// Fails the test with the whole response if the status is another.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Fails unless the body is a problem of this status; its `detail`.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16) -> String {
        let response = self.expect(status);
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
        response.json()["detail"]
            .as_str()
            .expect("a detail")
            .to_owned()
    }
}

/// As on the wire, the body cut short.
impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} {}", self.status, self.reason)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        let start = &self.body[..self.body.len().min(1_000)];
        write!(f, "({} bytes) {}", self.body.len(), start.escape_ascii())
    }
}

/// What bodies are compared by.
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Status line and header section, without the empty line.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// Parses a head; `bytes` ends after its last line's CRLF.
pub(crate) fn parse_head(bytes: &[u8]) -> Head {
    let text = std::str::from_utf8(bytes).expect("a head in ASCII");
    assert!(text.is_ascii(), "a head in ASCII: {text:?}");
    let mut lines = text
        .strip_suffix("\r\n")
        .expect("CRLF at the end")
        .split("\r\n");
    let (status, reason) = parse_status_line(lines.next().expect("a status line"));
    let headers = lines.map(parse_field).collect();
    Head {
        status,
        reason,
        headers,
    }
}

fn parse_status_line(line: &str) -> (u16, String) {
    let rest = line
        .strip_prefix("HTTP/1.1 ")
        .unwrap_or_else(|| panic!("version: {line:?}"));
    let (code, reason) = rest.split_at(3);
    assert!(
        code.bytes().all(|b| b.is_ascii_digit()),
        "status code: {line:?}"
    );
    let reason = reason
        .strip_prefix(' ')
        .unwrap_or_else(|| panic!("no SP: {line:?}"));
    assert!(
        !reason.contains(|c: char| c.is_ascii_control()),
        "reason: {line:?}"
    );
    (code.parse().expect("three digits"), reason.to_owned())
}

fn parse_field(line: &str) -> (String, String) {
    let (name, value) = line
        .split_once(':')
        .unwrap_or_else(|| panic!("no colon: {line:?}"));
    assert!(
        !name.is_empty() && name.bytes().all(is_token_byte),
        "field name: {line:?}"
    );
    assert!(!value.contains(['\r', '\n', '\0']), "field value: {line:?}");
    let value = value.strip_prefix(' ').unwrap_or(value);
    assert_eq!(
        value,
        value.trim_matches([' ', '\t']),
        "spaces around the value: {line:?}"
    );
    (name.to_owned(), value.to_owned())
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A chunk size line without its CRLF; corelane sends no chunk extensions.
pub(crate) fn parse_chunk_size(line: &[u8]) -> u64 {
    let text = std::str::from_utf8(line).expect("a chunk size in ASCII");
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(digits, "chunk size line: {text:?}");
    u64::from_str_radix(text, 16).expect("a chunk size")
}
