//! A client that sends exactly what it is given and reads one answer at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

/// One answer, its body decoded from chunks.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        Self {
            stream,
            input: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("it is taken");
    }

    /// Pieces with a pause between them.
    pub(crate) fn send_pieces(&mut self, pieces: &[&str]) {
        for piece in pieces {
            self.send(piece);
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, &[], b"")
    }

    pub(crate) fn json(&mut self, method: &str, target: &str, body: &Value) -> Answer {
        let json = [("Content-Type", "application/json")];
        self.request(method, target, &json, body.to_string().as_bytes())
    }

    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method != "GET" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        self.send(head + "\r\n");
        self.send(body);
        self.read()
    }

    pub(crate) fn read(&mut self) -> Answer {
        let head = self.take_through(b"\r\n\r\n");
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        let mut answer = Answer {
            status: status
                .and_then(|status| status.parse().ok())
                .expect("a status"),
            headers: headers.collect(),
            body: Vec::new(),
        };
        answer.body = match answer.header("content-length") {
            Some(length) => self.take(length.parse().expect("a length")),
            None => self.take_chunks(),
        };
        answer
    }

    /// The server has closed the connection and sent nothing more.
    pub(crate) fn expect_closed(&mut self) {
        let mut rest = [0; 1];
        assert!(self.input.is_empty() && matches!(self.stream.read(&mut rest), Ok(0)));
    }

    fn take_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.take_through(b"\r\n");
            let size = std::str::from_utf8(&line).expect("text").trim();
            let size = usize::from_str_radix(size, 16).expect("a chunk's size");
            body.extend(self.take(size));
            self.take(2);
            if size == 0 {
                return body;
            }
        }
    }

    fn take_through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self.input.windows(end.len()).position(|part| part == end);
            match found {
                Some(at) => return self.take(at + end.len()),
                None => self.fill(),
            }
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.input.len() < length {
            self.fill();
        }
        self.input.drain(..length).collect()
    }

    fn fill(&mut self) {
        let mut buffer = [0; 64 * 1024];
        let count = self.stream.read(&mut buffer).expect("an answer in time");
        let sofar = String::from_utf8_lossy(&self.input);
        assert!(count > 0, "closed in the middle of an answer: {sofar}");
        self.input.extend_from_slice(&buffer[..count]);
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}: {}", self.text());
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(given, _)| given == name);
        named.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn value(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).expect("JSON")
    }
}
