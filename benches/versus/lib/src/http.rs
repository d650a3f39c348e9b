//! A client for checking answers: what is wrong is an error, never a panic.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// No answer that is checked is longer.
const BODY_BYTES_MAX: usize = 16 << 20;

/// A keep-alive connection to a server on this machine.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// Chunks put together; still compressed.
    pub body: Vec<u8>,
}

/// What is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Question<'a> {
    /// GET when empty.
    pub method: &'a str,
    pub path: &'a str,
    /// Header lines, without line ends.
    pub headers: &'a [&'a str],
    /// JSON, if not empty.
    pub body: &'a str,
}

impl Question<'_> {
    fn encode(&self) -> String {
        let method = if self.method.is_empty() {
            "GET"
        } else {
            self.method
        };
        let mut text = format!("{method} {} HTTP/1.1\r\nHost: versus\r\n", self.path);
        for line in self.headers {
            text.push_str(line);
            text.push_str("\r\n");
        }
        if !self.body.is_empty() {
            let length = self.body.len();
            text.push_str("Content-Type: application/json\r\n");
            text.push_str(&format!("Content-Length: {length}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(self.body);
        text
    }
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn connect(port: u16) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("connecting: {error}");
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(told)?;
        Ok(Self {
            stream: BufReader::with_capacity(64 << 10, stream),
        })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When there is none, or it is not HTTP/1.1 with a length.
    pub fn ask(&mut self, question: &Question<'_>) -> Result<Answer, String> {
        self.send(question)?;
        self.answer()
    }

    /// Asks all at once, and waits for all answers.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn ask_all(&mut self, questions: &[Question<'_>]) -> Result<Vec<Answer>, String> {
        let text: String = questions.iter().map(Question::encode).collect();
        self.write(&text)?;
        questions.iter().map(|_| self.answer()).collect()
    }

    /// Asks without waiting.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn send(&mut self, question: &Question<'_>) -> Result<(), String> {
        self.write(&question.encode())
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        let sent = self.stream.get_mut().write_all(text.as_bytes());
        sent.map_err(|error| format!("sending: {error}"))
    }

    /// Waits for the next answer.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn answer(&mut self) -> Result<Answer, String> {
        read_answer(&mut self.stream)
    }

    /// The socket, once nothing more is asked by this.
    pub fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }
}

impl Answer {
    /// The first header of that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(n, _)| n == name);
        named.next().map(|(_, value)| value.as_str())
    }
}

fn read_answer(stream: &mut impl BufRead) -> Result<Answer, String> {
    let line = read_line(stream)?;
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("a status line, not {line:?}"))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or(format!("a header, not {line:?}"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    let is_chunked = answer
        .header("transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    answer.body = match status {
        204 | 304 => Vec::new(),
        _ if is_chunked => read_chunks(stream)?,
        _ => {
            let length = answer
                .header("content-length")
                .and_then(|text| text.parse().ok());
            read_bytes(stream, length.ok_or("neither Content-Length nor chunked")?)?
        }
    };
    Ok(answer)
}

fn read_chunks(stream: &mut impl BufRead) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| format!("a chunk, not {line:?}"))?;
        if size == 0 {
            while !read_line(stream)?.is_empty() {}
            return Ok(body);
        }
        body.extend(read_bytes(stream, size)?);
        if body.len() > BODY_BYTES_MAX || !read_line(stream)?.is_empty() {
            return Err("chunks that end where they should not".to_owned());
        }
    }
}

fn read_bytes(stream: &mut impl BufRead, count: usize) -> Result<Vec<u8>, String> {
    if count > BODY_BYTES_MAX {
        return Err(format!("a body of {count} bytes"));
    }
    let mut bytes = vec![0; count];
    let read = stream.read_exact(&mut bytes);
    read.map_err(|error| format!("a body of {count} bytes: {error}"))?;
    Ok(bytes)
}

fn read_line(stream: &mut impl BufRead) -> Result<String, String> {
    let mut line = Vec::new();
    let read = stream.take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    read.map_err(|error| format!("reading: {error}"))?;
    if !line.ends_with(b"\r\n") {
        return Err(match line.is_empty() {
            true => "the server closed the connection".to_owned(),
            false => format!("half a line: {:?}", String::from_utf8_lossy(&line)),
        });
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).map_err(|_| "a header that is not text".to_owned())
}

const LINE_BYTES_MAX: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Answer, String> {
        read_answer(&mut text.as_bytes())
    }

    #[test]
    fn answers_by_length_by_chunks_and_without_body() {
        let answer = read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\nhi").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, b"hi".as_slice())
        );
        assert_eq!(answer.header("x"), Some("y"));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                       2\r\nhi\r\na;x=y\r\n, 12345678\r\n0\r\n\r\n";
        assert_eq!(read(chunked).unwrap().body, b"hi, 12345678");
        let not_modified = "HTTP/1.1 304 Not Modified\r\nContent-Length: 200\r\n\r\n";
        assert!(read(not_modified).unwrap().body.is_empty());
    }

    #[test]
    fn what_is_none_is_an_error() {
        for (text, why) in [
            ("", "closed the connection"),
            ("HTTP/1.0 200 OK\r\n\r\n", "a status line"),
            ("HTTP/1.1 200 OK\r\n\r\n", "neither Content-Length"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
                "a body of 3 bytes",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
                "a body of",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                "a chunk",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n",
                "chunks that end",
            ),
            ("HTTP/1.1 200 OK\nX: y\r\n\r\n", "half a line"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_question_with_a_body_says_how_long() {
        let question = Question {
            method: "POST",
            path: "/x",
            headers: &["A: b"],
            body: "{}",
        };
        assert_eq!(
            question.encode(),
            "POST /x HTTP/1.1\r\nHost: versus\r\nA: b\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\n\r\n{}"
        );
    }
}
