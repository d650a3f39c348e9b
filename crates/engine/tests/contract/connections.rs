//! Connections in both directions: reads, writes, halves, and how they end.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use corelane_engine::{
    ClientStream, EngineKind, Target, bind_std, connect, is_ending, sleep, spawn_local, timeout,
    yield_now,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{build, run};

every_driver!(
    bytes_go_both_ways,
    a_read_fills_the_room_there_is,
    halves_read_and_write_at_once,
    a_closer_ends_a_pending_read,
    a_dropped_read_leaves_the_writing_intact,
    who_listens_not_refuses,
    a_connection_that_does_not_come_about_can_be_given_up,
    a_name_is_looked_up,
    a_unix_socket_is_a_target_too,
    a_dressed_connection_speaks_tokio,
    the_end_of_the_runtime_closes_outgoing_connections,
);

const PATIENCE: Duration = Duration::from_secs(10);

/// A listener of the test's own, and where.
fn upstream() -> (TcpListener, Target) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let target = target(listener.local_addr().expect("an address"));
    (listener, target)
}

fn target(address: SocketAddr) -> Target {
    Target::Tcp {
        host: address.ip().to_string(),
        port: address.port(),
    }
}

/// Serves one connection on a thread.
fn serve(
    listener: TcpListener,
    act: impl FnOnce(std::net::TcpStream) + Send + 'static,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        act(stream);
    })
}

fn bytes_go_both_ways(driver: EngineKind) {
    let (listener, target) = upstream();
    let echo = serve(listener, |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("all of it");
        stream.write_all(&all).expect("room");
    });
    // More than the buffers of both sockets hold.
    let sent: Vec<u8> = (0..4_000_000u32).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    run(driver, async move {
        let mut stream = connect(&target).await.expect("a connection");
        let progress = Cell::new(0);
        let told = |bytes| progress.set(progress.get() + bytes);
        let (written, given_back) = stream.write_all(sent, told).await;
        written.expect("all written");
        assert_eq!(given_back, expected);
        assert_eq!(progress.get(), expected.len());
        stream.finish_writing();
        let mut received = Vec::new();
        loop {
            let (read, buffer) = stream.read(Vec::with_capacity(64 * 1024)).await;
            if read.expect("a read") == 0 {
                break;
            }
            received.extend(buffer);
        }
        assert!(received == expected);
    });
    echo.join().expect("an echo");
}

/// What the buffer held stays, and its capacity is the bound.
fn a_read_fills_the_room_there_is(driver: EngineKind) {
    let (listener, target) = upstream();
    let server = serve(listener, |mut stream| {
        stream.write_all(b"0123456789").expect("room");
        let _ = stream.read(&mut [0]);
    });
    run(driver, async move {
        let mut stream = connect(&target).await.expect("a connection");
        let mut buffer = Vec::with_capacity(8);
        buffer.extend(b"ab");
        let room = buffer.capacity() - buffer.len();
        stream.readable().await.expect("bytes");
        let (read, buffer) = stream.read(buffer).await;
        let read = read.expect("a read");
        assert!((1..=room).contains(&read), "{read}");
        assert_eq!(buffer.len(), 2 + read);
        assert!(b"ab0123456789".starts_with(&buffer), "{buffer:?}");
    });
    server.join().expect("a server");
}

/// As a proxy uses them: neither direction waits for the other.
fn halves_read_and_write_at_once(driver: EngineKind) {
    const BYTES: usize = 2_000_000;
    let (listener, target) = upstream();
    let echo = serve(listener, |mut stream| {
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut chunk) {
            stream.write_all(&chunk[..count]).expect("room");
        }
    });
    run(driver, async move {
        let stream = connect(&target).await.expect("a connection");
        let (mut reading, mut writing) = stream.into_halves();
        spawn_local(async move {
            let (written, _) = writing.write_all(vec![7; BYTES], |_| ()).await;
            written.expect("all written");
            writing.finish_writing();
        });
        let mut received = 0;
        let mut buffer = Vec::with_capacity(16 * 1024);
        loop {
            buffer.clear();
            let (read, returned) = reading.read(buffer).await;
            buffer = returned;
            match read.expect("a read") {
                0 => break,
                count => received += count,
            }
            assert!(buffer.iter().all(|byte| *byte == 7));
        }
        assert_eq!(received, BYTES);
    });
    echo.join().expect("an echo");
}

fn a_closer_ends_a_pending_read(driver: EngineKind) {
    let (listener, target) = upstream();
    let server = serve(listener, |mut stream| {
        assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
    });
    run(driver, async move {
        let mut stream = connect(&target).await.expect("a connection");
        let closer = stream.closer();
        spawn_local(async move {
            sleep(Duration::from_millis(20)).await;
            closer.shutdown();
        });
        let read = timeout(PATIENCE, stream.read(Vec::with_capacity(16))).await;
        let (read, _) = read.expect("the read ends");
        assert_eq!(read.expect("an end"), 0);
        let closer = stream.closer();
        drop(stream);
        // Of a stream that is gone it closes nothing.
        closer.shutdown();
        assert_eq!(closer.unsent_bytes(), 0);
    });
    server.join().expect("a server");
}

fn a_dropped_read_leaves_the_writing_intact(driver: EngineKind) {
    let (listener, target) = upstream();
    let server = serve(listener, |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("all of it");
        assert_eq!(all, vec![b'x'; 50]);
    });
    run(driver, async move {
        let mut stream = connect(&target).await.expect("a connection");
        for _ in 0..50 {
            {
                let mut read = pin!(stream.read(Vec::with_capacity(256)));
                let polled = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
                assert!(polled.is_pending());
            }
            yield_now().await;
            let (written, _) = stream.write_all(b"x".to_vec(), |_| ()).await;
            written.expect("all written");
        }
    });
    server.join().expect("a server");
}

fn who_listens_not_refuses(driver: EngineKind) {
    let (listener, target) = upstream();
    drop(listener);
    run(driver, async move {
        let refused = connect(&target).await.err().expect("a refusal");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

/// Its listener's queue is full: the kernel drops what asks for more.
fn a_connection_that_does_not_come_about_can_be_given_up(driver: EngineKind) {
    let listener = bind_std(([127, 0, 0, 1], 0).into(), 1).expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))
    {
        waiting.push(stream);
    }
    run(driver, async move {
        let since = Instant::now();
        let target = target(address);
        let given_up = timeout(Duration::from_millis(100), connect(&target)).await;
        assert!(given_up.is_err(), "it connected");
        assert!(since.elapsed() < PATIENCE);
    });
    drop(listener);
}

fn a_name_is_looked_up(driver: EngineKind) {
    let (listener, target) = upstream();
    let Target::Tcp { port, .. } = target else {
        panic!("{target}");
    };
    run(driver, async move {
        let host = "localhost".to_owned();
        connect(&Target::Tcp { host, port })
            .await
            .expect("a connection");
        let host = "no-such-host.invalid".to_owned();
        assert!(connect(&Target::Tcp { host, port }).await.is_err());
    });
    drop(listener);
}

fn a_unix_socket_is_a_target_too(driver: EngineKind) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.write_all(b"hello").expect("room");
    });
    run(driver, async move {
        let mut stream = connect(&Target::Unix(path)).await.expect("a connection");
        let (read, buffer) = stream.read(Vec::with_capacity(16)).await;
        assert_eq!(read.expect("a read"), 5);
        assert_eq!(buffer, b"hello");
    });
    server.join().expect("a server");
}

fn a_dressed_connection_speaks_tokio(driver: EngineKind) {
    let (listener, target) = upstream();
    let echo = serve(listener, |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("all of it");
        stream.write_all(&all).expect("room");
    });
    run(driver, async move {
        let stream = ClientStream::connect(&target).await.expect("a connection");
        let mut stream = pin!(stream);
        let sent = vec![3; 300_000];
        let mut left = sent.as_slice();
        while !left.is_empty() {
            let taken = poll_fn(|cx| stream.as_mut().poll_write(cx, left)).await;
            left = &left[taken.expect("a write")..];
        }
        let ended = poll_fn(|cx| stream.as_mut().poll_shutdown(cx)).await;
        ended.expect("all written");
        let mut received = Vec::new();
        loop {
            let mut room = [0; 4_096];
            let mut buffer = ReadBuf::new(&mut room);
            let read = poll_fn(|cx| stream.as_mut().poll_read(cx, &mut buffer)).await;
            read.expect("a read");
            match buffer.filled() {
                [] => break,
                bytes => received.extend_from_slice(bytes),
            }
        }
        assert!(received == sent);
    });
    echo.join().expect("an echo");
}

/// Whoever keeps one in a task that is never dropped would leave it open.
fn the_end_of_the_runtime_closes_outgoing_connections(driver: EngineKind) {
    let (listener, target) = upstream();
    let server = serve(listener, |mut stream| {
        assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
    });
    let ended = Rc::new(RefCell::new(None));
    let told = ended.clone();
    let mut runtime = build(driver);
    runtime.block_on(async {
        let mut stream = connect(&target).await.expect("a connection");
        assert!(!is_ending());
        spawn_local(async move {
            let (read, _) = stream.read(Vec::with_capacity(16)).await;
            *told.borrow_mut() = Some((read.ok(), is_ending()));
            std::future::pending::<()>().await;
            drop(stream);
        });
        yield_now().await;
    });
    runtime.shutdown();
    server.join().expect("a server");
    assert_eq!(*ended.borrow(), Some((Some(0), true)));
}
