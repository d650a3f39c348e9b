//! A program and its tests, in one process: start the app on port 0, ask it over a
//! socket, drain it.
//!
//! ```text
//! cargo test --example tested
//! cargo run --example tested
//! curl -i http://127.0.0.1:8080/double/21
//! ```

use std::net::SocketAddr;

use corelane::{App, Ctx, Error, Response, Server};

async fn double(ctx: Ctx) -> Result<Response, Error> {
    let number: u32 = ctx.param("number")?;
    let double = number.checked_mul(2);
    let double = double.ok_or_else(|| Error::bad_request("it is too big"))?;
    Ok(Response::text(format!("{double}\n")))
}

/// What `main` serves and the tests ask.
fn app() -> App {
    App::new().get("/double/{number}", double)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1);
    let listen: SocketAddr = listen.as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    Server::new(app()).listen(listen).run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use corelane::ServerHandle;

    use super::*;

    /// Two shards that the kernel places, since tests run beside each other.
    fn start() -> ServerHandle {
        let server = Server::new(app()).listen(([127, 0, 0, 1], 0));
        server.shards(2).unpinned().start().expect("a server")
    }

    /// Any HTTP client does; this is the smallest.
    fn get(server: &ServerHandle, path: &str) -> String {
        let mut stream = TcpStream::connect(server.local_addr()).expect("it listens");
        let lines = "Host: test\r\nConnection: close\r\n\r\n";
        write!(stream, "GET {path} HTTP/1.1\r\n{lines}").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn a_number_is_doubled() {
        let server = start();
        let answer = get(&server, "/double/21");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n42\n"), "{answer}");
        server.drain();
        assert!(server.wait().drained);
    }

    #[test]
    fn what_is_no_number_or_too_big_is_refused() {
        let server = start();
        for (path, status) in [("/double/many", 404), ("/double/3000000000", 400)] {
            let answer = get(&server, path);
            let line = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&line), "{answer}");
        }
        server.drain();
        assert!(server.wait().drained);
    }
}
