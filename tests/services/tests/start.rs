//! The servers start, answer, die and come again.

use services::{Postgres, PostgresOptions, Proxy, Redis};

#[test]
fn postgres_starts_dies_and_comes_again() {
    let mut postgres = Postgres::start_with(PostgresOptions {
        tls: true,
        ..PostgresOptions::default()
    });
    postgres.psql("CREATE TABLE t (x int); INSERT INTO t VALUES (7)");
    assert_eq!(postgres.psql("SELECT x FROM t"), "7");
    assert_eq!(postgres.psql("SHOW ssl"), "on");
    postgres.kill();
    assert!(postgres.try_psql("SELECT 1").is_err());
    postgres.start_again();
    assert_eq!(postgres.psql("SELECT x FROM t"), "7");
    assert_eq!(postgres.connections(), 0);
    postgres.freeze();
    postgres.thaw();
    assert_eq!(postgres.psql("SELECT 1"), "1");
    postgres.freeze();
}

#[test]
fn redis_starts_and_is_reached_through_the_proxy() {
    let mut redis = Redis::start();
    assert_eq!(redis.cli(&["SET", "k", "v"]), "OK");
    let proxy = Proxy::to(redis.port());
    let ask = || -> std::io::Result<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", proxy.port()))?;
        stream.write_all(b"GET k\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    assert_eq!(ask().unwrap(), "$1\r\nv\r\n");
    proxy.refuse(true);
    assert!(ask().is_err());
    proxy.refuse(false);
    redis.kill();
    redis.start_again();
    assert_eq!(redis.cli(&["GET", "k"]), "");
    redis.cli(&["SET", "k", "w"]);
    assert_eq!(ask().unwrap(), "$1\r\nw\r\n");
    assert_eq!(proxy.accepted(), 3);
}
