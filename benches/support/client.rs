//! One keep-alive connection that asks one thing at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// A connection to a server on this machine.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_nodelay(true).expect("a TCP option");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends a GET with these header lines and waits for its answer.
    ///
    /// # Panics
    /// When the answer is not one with `Content-Length`, or 304.
    pub fn ask(&mut self, path: &str, header: Option<&str>) -> Answer {
        let header = header.map_or(String::new(), |line| format!("{line}\r\n"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{header}\r\n");
        let sent = self.stream.get_mut().write_all(request.as_bytes());
        sent.expect("the server takes a request");
        let status = self.line();
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.expect("a status line");
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let bytes = match status {
            304 => 0,
            _ => length.map_or(0, |(_, value)| value.parse().expect("a length")),
        };
        let mut body = vec![0; bytes];
        self.stream.read_exact(&mut body).expect("the whole body");
        Answer {
            status,
            headers,
            body,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).expect("an answer");
        assert!(read > 0, "the server closed the connection");
        line.trim_end().to_owned()
    }
}

impl Answer {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(n, _)| n == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is none, or the answer is not a 200.
    pub fn text(&self) -> &str {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        std::str::from_utf8(&self.body).expect("text")
    }
}
