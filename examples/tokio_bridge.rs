//! A library that needs tokio, called from a handler: here a fetch over
//! tokio's own sockets, with tokio's own timeout.
//!
//! ```text
//! cargo run --example tokio_bridge
//! curl -i http://127.0.0.1:8080/fetch/127.0.0.1/8080
//! ```

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use corelane::{App, Ctx, Error, Response, Server};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The status line that `host` answers with.
async fn status_line(host: String, port: u16) -> io::Result<String> {
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut line = Vec::new();
    stream.writable().await?;
    stream.try_write(request.as_bytes())?;
    while !line.contains(&b'\n') {
        stream.readable().await?;
        match stream.try_read_buf(&mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let text = String::from_utf8_lossy(&line);
    Ok(text.lines().next().unwrap_or("").to_owned())
}

/// The shard serves others while this waits.
async fn fetch(ctx: Ctx) -> Result<Response, Error> {
    let (host, port): (String, u16) = (ctx.param("host")?, ctx.param("port")?);
    let fetched = ctx
        // In an async block: tokio's timers are made on tokio's thread too.
        .tokio(async move { timeout(Duration::from_secs(2), status_line(host, port)).await })
        .await?;
    match fetched {
        Ok(line) => Ok(Response::text(format!("{}\n", line?))),
        Err(_) => Err(Error::unavailable("it does not answer", 2)),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = App::new()
        .get("/", async |_| Ok(Response::text("fetch something\n")))
        .get("/fetch/{host}/{port}", fetch);
    let listen = std::env::args().nth(1);
    let listen: SocketAddr = listen.as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    Server::new(app).listen(listen).run()?;
    Ok(())
}
