//! Profile upload.

use corelane::internals::topology::EngineKind;

use crate::both_engines;
use crate::server::Arena;

both_engines!(bytes_are_counted, too_many_bytes_are_refused);

const MIB: usize = 1 << 20;

fn bytes_are_counted(engine: EngineKind) {
    let arena = Arena::start(engine);
    let mut client = arena.connect();
    let kind = [("Content-Type", "application/octet-stream")];
    for length in [17, 0, 48, 500 * 1024, 2 * MIB, 10 * MIB, 20 * MIB] {
        let body: Vec<u8> = (0..length).map(|at| (at * 131 % 251) as u8).collect();
        let answer = client.request("POST", "/upload", &kind, &body).expect(200);
        assert_eq!(answer.text(), length.to_string());
    }
    client.send("POST /upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..48 {
        client.send(format!("10000\r\n{}\r\n", "x".repeat(65_536)));
    }
    client.send("5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.read().expect(200).text(), (3 * MIB + 5).to_string());
}

fn too_many_bytes_are_refused(engine: EngineKind) {
    let arena = Arena::start(engine);
    let mut client = arena.connect();
    let length = 32 * MIB + 1;
    client.send(format!(
        "POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n"
    ));
    client.read().expect(413);
    let mut client = arena.connect();
    client.get("/upload").expect(405);
}
