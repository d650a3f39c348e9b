//! A byte-level HTTP/1.1 client: sends exactly what a test says, in the pieces
//! it says, and reads exactly one response at a time by its framing. Every
//! response is checked, and so is what the server announced about the
//! connection: `Connection: close` must be followed by end of stream.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use super::checks::check;
use super::response::{Framing, Head, Response, parse_chunk_size, parse_head};

/// How long a test waits for bytes that must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// Received, not yet read by the test.
    buffer: Vec<u8>,
    /// When the first of the requests was sent that may not be answered yet.
    asked: SystemTime,
    /// Since then a response has been read: the next request is asked anew.
    is_answered: bool,
}

/// What the answer being read belongs to; it changes how it is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// Any method but HEAD, HTTP/1.1.
    Get,
    /// HEAD: framing fields, but no body.
    Head,
    /// HTTP/1.0: the body may end with the connection.
    Http10,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("a connection")
    }

    /// For tests in which the server may be away.
    pub(crate) fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            asked: SystemTime::now(),
            is_answered: true,
        })
    }

    /// Waits longer than usual for each read.
    pub(crate) fn patience(self, patience: Duration) -> Self {
        self.stream
            .set_read_timeout(Some(patience))
            .expect("a read timeout");
        self
    }

    /// How much is taken in that the test has not read.
    pub(crate) fn receive_buffer(&self, bytes: usize) {
        socket2::SockRef::from(&self.stream)
            .set_recv_buffer_size(bytes)
            .expect("a receive buffer");
    }

    // ---- sending ----------------------------------------------------------

    /// Sends these bytes in one write.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.note_asking();
        self.stream
            .write_all(bytes.as_ref())
            .expect("the server takes the bytes");
    }

    /// Sends as much as the server takes; for tests in which it may close.
    pub(crate) fn send_if_taken(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.note_asking();
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    fn note_asking(&mut self) {
        if std::mem::take(&mut self.is_answered) {
            self.asked = SystemTime::now();
        }
    }

    /// Sends in pieces of `size` bytes, `pause` apart.
    pub(crate) fn send_dribbled(&mut self, bytes: impl AsRef<[u8]>, size: usize, pause: Duration) {
        for piece in bytes.as_ref().chunks(size) {
            self.send(piece);
            std::thread::sleep(pause);
        }
    }

    /// Gives up a write after this long.
    pub(crate) fn write_timeout(&mut self, limit: Duration) {
        self.stream
            .set_write_timeout(Some(limit))
            .expect("a write timeout");
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish_sending(&mut self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("half a connection");
    }

    /// Sends a request with these header lines and body; adds `Host`, and
    /// `Content-Length` unless the method has no body and it is empty.
    pub(crate) fn send_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        self.send(encode_request(method, target, headers, body));
    }

    /// Ends the connection with a reset, as a crashing client does.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("linger");
    }

    // ---- one exchange -----------------------------------------------------

    /// One request and its response, where the connection may be lost before
    /// all of it has come. The connection is of no more use then.
    pub(crate) fn try_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        let request = encode_request(method, target, headers, body);
        self.note_asking();
        self.stream.write_all(&request)?;
        self.try_read()
    }

    /// The next response, where the connection may be lost before it.
    pub(crate) fn try_read(&mut self) -> std::io::Result<Response> {
        while !self.has_whole_response() {
            if self.receive()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.read_message(As::Get))
    }

    fn has_whole_response(&self) -> bool {
        let Some(at) = find(&self.buffer, b"\r\n\r\n") else {
            return false;
        };
        match framing_of(&parse_head(&self.buffer[..at + 2]), As::Get) {
            Framing::NoBody => true,
            Framing::Length(length) => self.buffer.len() - (at + 4) >= length as usize,
            Framing::Chunked | Framing::UntilClose => panic!("of bodies with a length only"),
        }
    }

    /// One request and its response.
    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.send_request(method, target, headers, body);
        self.read_as(if method == "HEAD" { As::Head } else { As::Get })
    }

    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.request("GET", target, &[], b"")
    }

    pub(crate) fn get_with(&mut self, target: &str, headers: &[(&str, &str)]) -> Response {
        self.request("GET", target, headers, b"")
    }

    pub(crate) fn head(&mut self, target: &str) -> Response {
        self.request("HEAD", target, &[], b"")
    }

    /// Sends a JSON body.
    pub(crate) fn send_json(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        json: &serde_json::Value,
    ) -> Response {
        let mut all = vec![("Content-Type", "application/json")];
        all.extend_from_slice(headers);
        self.request(method, target, &all, json.to_string().as_bytes())
    }

    // ---- receiving --------------------------------------------------------

    /// The next response.
    pub(crate) fn read(&mut self) -> Response {
        self.read_as(As::Get)
    }

    /// The next response, framed as the answer to such a request.
    pub(crate) fn read_as(&mut self, answer_to: As) -> Response {
        let response = self.read_message(answer_to);
        assert!(response.status >= 200, "an interim response: {response:?}");
        if response.says_close() && response.framing != Framing::UntilClose {
            self.expect_closed();
        }
        response
    }

    /// The next response, a 1xx included.
    pub(crate) fn read_message(&mut self, answer_to: As) -> Response {
        let head = self.read_head();
        let framing = framing_of(&head, answer_to);
        let body = self.read_body(framing);
        let Head {
            status,
            reason,
            headers,
        } = head;
        let response = Response {
            status,
            reason,
            headers,
            body,
            framing,
        };
        let method = if answer_to == As::Head { "HEAD" } else { "GET" };
        check(&response, method, self.asked);
        self.is_answered = true;
        response
    }

    /// Status line and headers only; the body stays to be read by the test.
    pub(crate) fn read_head(&mut self) -> Head {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 2;
            }
            self.must_receive("the end of the head");
        };
        let head = parse_head(&self.buffer[..end]);
        self.buffer.drain(..end + 2);
        head
    }

    fn read_body(&mut self, framing: Framing) -> Vec<u8> {
        match framing {
            Framing::NoBody => Vec::new(),
            Framing::Length(length) => self.read_exactly(length as usize),
            Framing::Chunked => self.read_chunks(),
            Framing::UntilClose => {
                while self.receive().expect("more of the body, or its end") > 0 {}
                std::mem::take(&mut self.buffer)
            }
        }
    }

    fn read_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(chunk) = self.read_chunk() {
            body.extend_from_slice(&chunk);
        }
        body
    }

    /// The next chunk of a chunked body; `None` after the last one.
    pub(crate) fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let size = parse_chunk_size(&self.read_line()) as usize;
        if size == 0 {
            assert_eq!(self.read_line(), b"", "corelane sends no trailers");
            return None;
        }
        let chunk = self.read_exactly(size);
        assert_eq!(self.read_exactly(2), b"\r\n", "a chunk ends with CRLF");
        Some(chunk)
    }

    fn read_line(&mut self) -> Vec<u8> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = self.buffer.drain(..at).collect();
                self.buffer.drain(..2);
                return line;
            }
            self.must_receive("the end of the line");
        }
    }

    /// The next `length` bytes.
    pub(crate) fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            self.must_receive("more of the body");
        }
        self.buffer.drain(..length).collect()
    }

    fn must_receive(&mut self, what: &str) {
        let so_far = String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(500)]);
        let so_far = so_far.into_owned();
        match self.receive() {
            Ok(0) => panic!("closed while waiting for {what}; got {so_far:?}"),
            Ok(_) => {}
            Err(error) => panic!("{error} while waiting for {what}; got {so_far:?}"),
        }
    }

    fn receive(&mut self) -> std::io::Result<usize> {
        let mut piece = vec![0; 256 * 1024];
        let count = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    /// Takes the first bytes the moment they arrive, by spinning, and says how
    /// many heads ended in them.
    pub(crate) fn heads_at_first_sight(&mut self) -> usize {
        self.stream.set_nonblocking(true).expect("nonblocking");
        let deadline = Instant::now() + PATIENCE;
        while self.receive().is_err() {
            assert!(Instant::now() < deadline, "nothing came");
            std::hint::spin_loop();
        }
        self.stream.set_nonblocking(false).expect("blocking");
        self.buffer
            .windows(4)
            .filter(|window| window == b"\r\n\r\n")
            .count()
    }

    /// Whether anything (or the end) has come in that was not read yet.
    pub(crate) fn has_input(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("nonblocking");
        let received = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("blocking");
        !self.buffer.is_empty() || !matches!(received, Err(e) if e.kind() == ErrorKind::WouldBlock)
    }

    // ---- the state of the connection --------------------------------------

    /// Fails unless the server closes now, without another byte.
    pub(crate) fn expect_closed(&mut self) {
        assert_eq!(self.buffer, b"", "bytes after the last response");
        match self.receive() {
            Ok(0) => {}
            Ok(_) => panic!("bytes after the last response: {:?}", self.buffer_text()),
            Err(error) => panic!("not closed: {error}"),
        }
    }

    /// Fails unless the server ends the connection, by whatever means, without
    /// another byte.
    pub(crate) fn expect_gone(&mut self) {
        match self.receive() {
            Ok(0) => {}
            Ok(_) => panic!("bytes instead of the end: {:?}", self.buffer_text()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("not ended: {error}"),
        }
    }

    /// Fails if the server says anything more on a connection that it has ended,
    /// within the moment that a reset would take.
    pub(crate) fn expect_no_reset(&mut self) {
        std::thread::sleep(Duration::from_millis(50));
        self.expect_closed();
        assert!(self.stream.take_error().is_ok_and(|error| error.is_none()));
    }

    /// Fails unless the server ends the connection; an answer may come first.
    pub(crate) fn expect_ended(&mut self) {
        self.read_to_end(PATIENCE);
    }

    /// Fails if anything arrives, or the server closes, within `time`.
    pub(crate) fn expect_silence(&mut self, time: Duration) {
        assert_eq!(self.buffer, b"", "bytes already there");
        let usual = self.stream.read_timeout().expect("the read timeout");
        self.stream
            .set_read_timeout(Some(time))
            .expect("a read timeout");
        let received = self.receive();
        self.stream.set_read_timeout(usual).expect("a read timeout");
        match received {
            Ok(0) => panic!("closed, but nothing said so"),
            Ok(_) => panic!("unexpected bytes: {:?}", self.buffer_text()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Fails unless another request is answered on this connection.
    pub(crate) fn expect_usable(&mut self) {
        self.get("/health/live").expect(200);
    }

    /// Whatever arrives until the server closes, not parsed.
    pub(crate) fn read_to_end(&mut self, limit: Duration) -> Vec<u8> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            match self.receive() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error}"),
            }
        }
        std::mem::take(&mut self.buffer)
    }

    fn buffer_text(&self) -> String {
        String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(2_000)]).into_owned()
    }
}

fn encode_request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n").into_bytes();
    for (name, value) in headers {
        request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
        request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    request
}

fn framing_of(head: &Head, answer_to: As) -> Framing {
    let field = |wanted: &str| {
        let mut named = head
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(wanted));
        named.next().map(|(_, value)| value.as_str())
    };
    if matches!(head.status, 100..=199 | 204 | 304) || answer_to == As::Head {
        return Framing::NoBody;
    }
    if field("transfer-encoding").is_some() {
        assert_ne!(
            answer_to,
            As::Http10,
            "a transfer coding sent to HTTP/1.0: {head:?}"
        );
        return Framing::Chunked;
    }
    if let Some(length) = field("content-length") {
        assert!(length.bytes().all(|b| b.is_ascii_digit()), "{head:?}");
        return Framing::Length(length.parse().expect("a length"));
    }
    assert_eq!(answer_to, As::Http10, "no framing: {head:?}");
    Framing::UntilClose
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
