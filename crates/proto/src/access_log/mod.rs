//! One line per finished request, as text or JSON, into a reused buffer.
//!
//! In the life of a request: after its response is queued the shard fills an
//! [`AccessEntry`] from borrowed parts and [`LineEncoder::encode`] appends a
//! line to the shard's batch; the log sink on the floor above writes batches.
//!
//! Invariants: a line is printable ASCII and one `\n` at its end, whatever
//! bytes the client sent, so no request can forge a line, a field or a
//! terminal sequence; a JSON line is always one valid object; encoding does
//! not allocate once the buffer has grown.

mod escape;
mod timestamp;

pub use timestamp::rfc3339_utc;

use timestamp::SecondCache;

/// Shape of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// The Combined Log Format of Apache and nginx, then
    /// `duration_us=… request_id=… shard=…`, and `client=…` behind a trusted
    /// proxy.
    Text,
    /// One JSON object per line.
    Json,
}

/// A finished request. Bytes from the client are taken as they came.
#[derive(Debug, Clone, Copy)]
pub struct AccessEntry<'a> {
    /// When the request was answered, milliseconds since the Unix epoch.
    pub unix_ms: i64,
    /// Address of the peer; empty when unknown.
    pub peer: &'a str,
    /// Address of the client where it is not the peer: behind a trusted proxy.
    pub client: Option<&'a str>,
    /// The method; empty when the request line could not be read.
    pub method: &'a [u8],
    /// The target as sent; without a method what there was of a request line.
    pub target: &'a [u8],
    /// `HTTP/1.1` or `HTTP/1.0`; empty when the request line could not be read.
    pub version: &'a str,
    /// Status of the response.
    pub status: u16,
    /// Bytes of the response body as sent.
    pub response_bytes: u64,
    /// Whether it was sent to its end, as far as the server can know.
    pub is_complete: bool,
    /// Why the request was refused before it could be answered.
    pub cause: Option<&'a str>,
    /// `Referer`, if sent.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`, if sent.
    pub user_agent: Option<&'a [u8]>,
    /// From the last head byte to the response being queued.
    pub duration_us: u64,
    /// The request's id; empty when ids are off.
    pub request_id: &'a str,
    /// Index of the shard.
    pub shard: usize,
}

/// Encodes lines; keeps the formatted second, which most lines share.
#[derive(Debug)]
pub struct LineEncoder {
    format: LogFormat,
    second: SecondCache,
}

impl LineEncoder {
    /// An encoder for lines of this shape.
    pub fn new(format: LogFormat) -> Self {
        Self {
            format,
            second: SecondCache::default(),
        }
    }

    /// Appends the entry's line, `\n` included.
    pub fn encode(&mut self, entry: &AccessEntry<'_>, out: &mut Vec<u8>) {
        match self.format {
            LogFormat::Text => self.encode_text(entry, out),
            LogFormat::Json => self.encode_json(entry, out),
        }
    }

    fn encode_text(&mut self, entry: &AccessEntry<'_>, out: &mut Vec<u8>) {
        text_word(entry.peer.as_bytes(), out);
        out.extend_from_slice(b" - - [");
        out.extend_from_slice(self.second.common_log(entry.unix_ms).as_bytes());
        out.extend_from_slice(b"] \"");
        if entry.method.is_empty() && entry.target.is_empty() {
            out.push(b'-');
        }
        let line = [entry.method, entry.target, entry.version.as_bytes()];
        let mut words = line.into_iter().filter(|word| !word.is_empty());
        if let Some(first) = words.next() {
            escape::text(first, out);
        }
        for word in words {
            out.push(b' ');
            escape::text(word, out);
        }
        out.extend_from_slice(b"\" ");
        integer(u64::from(entry.status), out);
        out.push(b' ');
        integer(entry.response_bytes, out);
        for header in [entry.referer, entry.user_agent] {
            out.extend_from_slice(b" \"");
            escape::text(header.unwrap_or(b"-"), out);
            out.push(b'"');
        }
        out.extend_from_slice(b" duration_us=");
        integer(entry.duration_us, out);
        out.extend_from_slice(b" request_id=");
        text_word(entry.request_id.as_bytes(), out);
        out.extend_from_slice(b" shard=");
        integer(entry.shard as u64, out);
        if let Some(client) = entry.client {
            out.extend_from_slice(b" client=");
            text_word(client.as_bytes(), out);
        }
        if !entry.is_complete {
            out.extend_from_slice(b" complete=false");
        }
        if let Some(cause) = entry.cause {
            out.extend_from_slice(b" cause=\"");
            escape::text(cause.as_bytes(), out);
            out.push(b'"');
        }
        out.push(b'\n');
    }

    fn encode_json(&mut self, entry: &AccessEntry<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(self.second.rfc3339(entry.unix_ms).as_bytes());
        let millis = entry.unix_ms.rem_euclid(1_000) as u16;
        let digits = [millis / 100, millis / 10 % 10, millis % 10].map(|d| b'0' + d as u8);
        out.push(b'.');
        out.extend_from_slice(&digits);
        out.extend_from_slice(b"Z\"");
        json_string("peer", entry.peer.as_bytes(), out);
        json_string("method", entry.method, out);
        json_string("target", entry.target, out);
        json_string("version", entry.version.as_bytes(), out);
        json_integer("status", u64::from(entry.status), out);
        json_integer("response_bytes", entry.response_bytes, out);
        json_integer("duration_us", entry.duration_us, out);
        json_integer("shard", entry.shard as u64, out);
        if !entry.is_complete {
            json_key("complete", out);
            out.extend_from_slice(b"false");
        }
        let optional = [
            ("client", entry.client.map(str::as_bytes)),
            (
                "request_id",
                Some(entry.request_id.as_bytes()).filter(|id| !id.is_empty()),
            ),
            ("referer", entry.referer),
            ("user_agent", entry.user_agent),
            ("cause", entry.cause.map(str::as_bytes)),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                json_string(key, value, out);
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

/// A field without quotes around it: `-` when empty, and never a space in it.
fn text_word(word: &[u8], out: &mut Vec<u8>) {
    if word.is_empty() {
        out.push(b'-');
    }
    escape::text_word(word, out);
}

fn integer(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn json_key(key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn json_integer(key: &str, value: u64, out: &mut Vec<u8>) {
    json_key(key, out);
    integer(value, out);
}

fn json_string(key: &str, value: &[u8], out: &mut Vec<u8>) {
    json_key(key, out);
    out.push(b'"');
    escape::json(value, out);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENTRY: AccessEntry<'static> = AccessEntry {
        unix_ms: 784_111_777_042,
        peer: "192.0.2.7",
        client: None,
        method: b"GET",
        target: b"/api/users?limit=2",
        version: "HTTP/1.1",
        status: 200,
        response_bytes: 512,
        is_complete: true,
        cause: None,
        referer: None,
        user_agent: Some(b"curl/8.5"),
        duration_us: 153,
        request_id: "0a0b03-1f",
        shard: 3,
    };

    fn line(format: LogFormat, entry: &AccessEntry<'_>) -> String {
        let mut out = Vec::new();
        LineEncoder::new(format).encode(entry, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_text_line_is_combined_log_format_and_three_fields_more() {
        assert_eq!(
            line(LogFormat::Text, &ENTRY),
            "192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"GET /api/users?limit=2 HTTP/1.1\" \
             200 512 \"-\" \"curl/8.5\" duration_us=153 request_id=0a0b03-1f shard=3\n"
        );
    }

    #[test]
    fn a_json_line_holds_the_same() {
        assert_eq!(
            line(LogFormat::Json, &ENTRY),
            "{\"time\":\"1994-11-06T08:49:37.042Z\",\"peer\":\"192.0.2.7\",\"method\":\"GET\",\
             \"target\":\"/api/users?limit=2\",\"version\":\"HTTP/1.1\",\"status\":200,\
             \"response_bytes\":512,\"duration_us\":153,\"shard\":3,\"request_id\":\"0a0b03-1f\",\
             \"user_agent\":\"curl/8.5\"}\n"
        );
    }

    #[test]
    fn an_answer_that_was_cut_says_so() {
        let entry = AccessEntry {
            is_complete: false,
            ..ENTRY
        };
        let text = line(LogFormat::Text, &entry);
        assert!(text.ends_with(" shard=3 complete=false\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&line(LogFormat::Json, &entry)).unwrap();
        assert_eq!(json["complete"], false);
    }

    #[test]
    fn a_refused_request_is_shown_as_far_as_it_was_read_with_the_cause() {
        let refused = AccessEntry {
            version: "",
            status: 414,
            cause: Some("the request line is \"too\" long"),
            user_agent: None,
            ..ENTRY
        };
        let text = line(LogFormat::Text, &refused);
        assert!(text.contains("] \"GET /api/users?limit=2\" 414 "), "{text}");
        let ending = " cause=\"the request line is \\\"too\\\" long\"\n";
        assert!(text.ends_with(ending), "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&line(LogFormat::Json, &refused)).unwrap();
        assert_eq!(json["cause"], "the request line is \"too\" long");
        let unread = AccessEntry {
            method: b"",
            target: b"\x16\x03\x01",
            ..refused
        };
        let text = line(LogFormat::Text, &unread);
        assert!(text.contains("] \"\\x16\\x03\\x01\" 414 "), "{text}");
    }

    #[test]
    fn the_client_behind_a_proxy_stands_at_the_end() {
        let entry = AccessEntry {
            client: Some("2001:db8::1"),
            ..ENTRY
        };
        let text = line(LogFormat::Text, &entry);
        assert!(text.starts_with("192.0.2.7 - - ["), "{text}");
        assert!(text.ends_with(" shard=3 client=2001:db8::1\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&line(LogFormat::Json, &entry)).unwrap();
        assert_eq!(json["client"], "2001:db8::1");
    }

    #[test]
    fn a_request_line_that_could_not_be_read_is_a_dash() {
        let entry = AccessEntry {
            peer: "",
            method: b"",
            target: b"",
            version: "",
            request_id: "",
            status: 400,
            ..ENTRY
        };
        let text = line(LogFormat::Text, &entry);
        assert!(text.starts_with("- - - ["), "{text}");
        assert!(text.contains("] \"-\" 400 "), "{text}");
        assert!(text.contains(" request_id=- "), "{text}");
    }

    #[test]
    fn an_attacker_cannot_start_a_second_line_or_close_a_quote() {
        let entry = AccessEntry {
            target: b"/\" 200 1\n10.0.0.1 - - \\",
            user_agent: Some("\u{1b}[2J\u{202e}é".as_bytes()),
            ..ENTRY
        };
        let text = line(LogFormat::Text, &entry);
        assert!(
            text.contains(r#""GET /\" 200 1\x0A10.0.0.1 - - \\ HTTP/1.1""#),
            "{text}"
        );
        assert!(text.contains(r#""\x1B[2J\xE2\x80\xAE\xC3\xA9""#), "{text}");
        let json = line(LogFormat::Json, &entry);
        assert!(
            json.contains(r#""user_agent":"\u001b[2J\u202e\u00e9""#),
            "{json}"
        );
    }

    /// Splits a text line like a log reader does: fields by spaces, quoted
    /// fields whole, with `\"` and `\\` understood.
    fn fields(line: &str) -> usize {
        let (mut count, mut quoted, mut escaped) = (1, false, false);
        for c in line.trim_end().chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ' ' if !quoted => count += 1,
                _ => {}
            }
        }
        assert!(!quoted, "a quote stays open: {line}");
        count
    }

    proptest! {
        #[test]
        fn any_bytes_make_one_printable_line_with_the_same_fields(
            method in prop::collection::vec(any::<u8>(), 1..20),
            target in prop::collection::vec(any::<u8>(), 0..60),
            agent in prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
            request_id in ".{0,20}",
            peer in ".{0,20}",
            unix_ms in -62_135_596_800_000..253_402_300_799_999_i64,
        ) {
            let entry = AccessEntry {
                unix_ms, peer: &peer, method: &method, target: &target,
                user_agent: agent.as_deref(), request_id: &request_id, ..ENTRY
            };
            for format in [LogFormat::Text, LogFormat::Json] {
                let line = line(format, &entry);
                let (last, rest) = line.as_bytes().split_last().unwrap();
                prop_assert_eq!(*last, b'\n');
                prop_assert!(rest.iter().all(|b| (0x20..0x7f).contains(b)), "{}", line);
            }
            prop_assert_eq!(fields(&line(LogFormat::Text, &entry)), 13);
            let json: serde_json::Value =
                serde_json::from_str(&line(LogFormat::Json, &entry)).unwrap();
            let target_told = json["target"].as_str().unwrap().to_owned();
            prop_assert_eq!(target_told, String::from_utf8_lossy(&target).into_owned());
            prop_assert_eq!(json["request_id"].as_str().unwrap_or(""), request_id);
        }
    }
}
