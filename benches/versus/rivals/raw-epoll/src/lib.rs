//! What the two floors answer: bytes of requests in, bytes of responses out.
//! raw-epoll and raw-uring share it, so that they differ in their loops alone.

use std::time::{Instant, SystemTime};

use contract::Users;
use httparse::{EMPTY_HEADER, Header, Status};

/// A request head that is longer ends its connection.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 32;

/// Finished answers of one thread: all bytes but those of the date, which are
/// put in once a second (constant) or by one copy of the head (users).
pub struct Answers {
    server: &'static str,
    built: Instant,
    /// Status line, `server` and `date` of a 200.
    ok: Vec<u8>,
    not_modified: Vec<u8>,
    constant: Vec<u8>,
    not_found: Vec<u8>,
    bad: Vec<u8>,
    users: Table,
}

/// What is left of the bytes that a connection received.
pub struct Answered {
    /// Bytes of whole requests; the rest begins another.
    pub consumed: usize,
    /// Send what is answered, then close.
    pub close: bool,
}

impl Answers {
    /// `server` is the value of the header, as long as corelane's.
    pub fn new(server: &'static str, users: &Users) -> Self {
        let mut answers = Self {
            server,
            built: Instant::now(),
            ok: Vec::new(),
            not_modified: Vec::new(),
            constant: Vec::new(),
            not_found: Vec::new(),
            bad: Vec::new(),
            users: Table::new(users),
        };
        answers.build();
        answers
    }

    /// To be called once a turn of the loop.
    pub fn refresh(&mut self) {
        if self.built.elapsed().as_secs() >= 1 {
            self.build();
        }
    }

    fn build(&mut self) {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let head = |status| {
            let server = self.server;
            format!("HTTP/1.1 {status}\r\nserver: {server}\r\ndate: {date}\r\n").into_bytes()
        };
        let text = |status, body: &str| {
            let fields = "content-type: text/plain; charset=utf-8\r\ncontent-length";
            let rest = format!("{fields}: {}\r\n\r\n{body}", body.len());
            [head(status), rest.into_bytes()].concat()
        };
        self.constant = text("200 OK", "Hello, World!");
        self.not_found = text("404 Not Found", "not found");
        self.bad = text("400 Bad Request", "bad request");
        self.not_modified = head("304 Not Modified");
        self.ok = head("200 OK");
        self.built = Instant::now();
    }

    /// Answers each whole request in `input`, in order, at the end of `output`.
    pub fn answer(&self, input: &[u8], output: &mut Vec<u8>) -> Answered {
        let mut consumed = 0;
        while consumed < input.len() {
            let mut headers = [EMPTY_HEADER; HEADERS_MAX];
            let mut request = httparse::Request::new(&mut headers);
            let bytes = match request.parse(&input[consumed..]) {
                Ok(Status::Complete(bytes)) => bytes,
                Ok(Status::Partial) if input.len() - consumed < HEAD_BYTES_MAX => break,
                _ => return self.refuse(input, output),
            };
            let wishes = Wishes::of(request.headers);
            let (Some("GET"), Some(path), false) = (request.method, request.path, wishes.body)
            else {
                return self.refuse(input, output);
            };
            consumed += bytes;
            let start = output.len();
            self.route(path, wishes.etags, output);
            if wishes.close || request.version == Some(0) {
                say_close(output, start);
                let close = true;
                return Answered { consumed, close };
            }
        }
        let close = false;
        Answered { consumed, close }
    }

    fn route(&self, path: &str, etags: Option<&[u8]>, output: &mut Vec<u8>) {
        if path == "/constant" {
            output.extend_from_slice(&self.constant);
            return;
        }
        let id = path.strip_prefix("/api/users/");
        let Some(user) = id.and_then(|id| self.users.find(id)) else {
            output.extend_from_slice(&self.not_found);
            return;
        };
        if etags.is_some_and(|etags| user.matches(etags)) {
            output.extend_from_slice(&self.not_modified);
            output.extend_from_slice(user.etag_line);
            output.extend_from_slice(b"\r\n");
        } else {
            output.extend_from_slice(&self.ok);
            output.extend_from_slice(user.etag_line);
            output.extend_from_slice(user.rest);
        }
    }

    fn refuse(&self, input: &[u8], output: &mut Vec<u8>) -> Answered {
        let start = output.len();
        output.extend_from_slice(&self.bad);
        say_close(output, start);
        Answered {
            consumed: input.len(),
            close: true,
        }
    }
}

/// Puts `connection: close` into the response that starts at `start`.
fn say_close(output: &mut Vec<u8>, start: usize) {
    let line_end = output[start..].windows(2).position(|pair| pair == b"\r\n");
    let at = start + line_end.expect("a status line") + 2;
    output.splice(at..at, *b"connection: close\r\n");
}

/// What the headers of a request ask for.
#[derive(Default)]
struct Wishes<'a> {
    etags: Option<&'a [u8]>,
    close: bool,
    body: bool,
}

impl<'a> Wishes<'a> {
    fn of(headers: &[Header<'a>]) -> Self {
        let mut wishes = Self::default();
        for header in headers {
            // By length first: a load generator's headers are none of these.
            let is = |name| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                10 if is("connection") => {
                    wishes.close |= header.value.eq_ignore_ascii_case(b"close");
                }
                13 if is("if-none-match") => wishes.etags = Some(header.value),
                14 if is("content-length") => wishes.body |= header.value != b"0",
                17 if is("transfer-encoding") => wishes.body = true,
                _ => {}
            }
        }
        wishes
    }
}

/// Users' answers behind one another, without status line, server and date.
struct Table {
    bytes: Vec<u8>,
    /// (start, end of the ETag line, end) of user i at i - 1.
    places: Vec<(u32, u32, u32)>,
}

struct Finished<'a> {
    /// `etag: "u1-v1"` and a line end.
    etag_line: &'a [u8],
    /// The other fields, a blank line, the body.
    rest: &'a [u8],
}

impl Table {
    fn new(users: &Users) -> Self {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        let end = |bytes: &Vec<u8>| u32::try_from(bytes.len()).expect("below 4 GiB of users");
        for user in users.iter() {
            let start = end(&bytes);
            bytes.extend_from_slice(format!("etag: {}\r\n", user.etag).as_bytes());
            let etag_end = end(&bytes);
            let fields = "content-type: application/json\r\ncontent-length";
            let rest = format!("{fields}: {}\r\n\r\n{}", user.body.len(), user.body);
            bytes.extend_from_slice(rest.as_bytes());
            places.push((start, etag_end, end(&bytes)));
        }
        Self { bytes, places }
    }

    fn find(&self, id: &str) -> Option<Finished<'_>> {
        let id: usize = id.parse().ok()?;
        let &(start, etag_end, end) = self.places.get(id.checked_sub(1)?)?;
        Some(Finished {
            etag_line: &self.bytes[start as usize..etag_end as usize],
            rest: &self.bytes[etag_end as usize..end as usize],
        })
    }
}

impl Finished<'_> {
    /// If-None-Match compares weakly (RFC 9110 section 13.1.2).
    fn matches(&self, etags: &[u8]) -> bool {
        let own = self.etag_line.trim_ascii_end();
        let own = own.strip_prefix(b"etag: ").unwrap_or(own);
        etags.split(|byte| *byte == b',').any(|etag| {
            let etag = etag.trim_ascii();
            etag == b"*" || etag.strip_prefix(b"W/").unwrap_or(etag) == own
        })
    }
}

/// Bytes of a connection that begin a request whose end has not come yet. It
/// owns no memory while requests come whole.
#[derive(Default)]
pub struct Remainder(Vec<u8>);

impl Remainder {
    /// Answers what is whole of the remainder and `received`, keeps the rest;
    /// whether to close after `output` is sent.
    pub fn answer(&mut self, received: &[u8], answers: &Answers, output: &mut Vec<u8>) -> bool {
        if self.0.is_empty() {
            let answered = answers.answer(received, output);
            if answered.consumed < received.len() {
                self.0.extend_from_slice(&received[answered.consumed..]);
            }
            return answered.close;
        }
        let mut input = std::mem::take(&mut self.0);
        input.extend_from_slice(received);
        let answered = answers.answer(&input, output);
        if answered.consumed < input.len() {
            input.drain(..answered.consumed);
            self.0 = input;
        }
        answered.close
    }
}
