//! Connections in both directions: halves, inputs, and how they end.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use corelane_engine::{
    ClientStream, EngineKind, Input, Target, bind_std, connect, is_ending, sleep, spawn_local,
    timeout, yield_now,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{build, run};

every_driver!(
    bytes_go_both_ways,
    what_is_pending_stays_in_front_of_what_comes,
    the_input_grows_with_what_comes,
    a_long_wait_needs_no_large_input,
    what_has_room_is_sent_at_once,
    halves_receive_and_send_at_once,
    the_last_half_closes_the_connection,
    a_closer_ends_a_pending_receive,
    a_dropped_receive_leaves_the_sending_intact,
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
        let stream = connect(&target).await.expect("a connection");
        let (mut receiver, mut sender) = stream.into_halves();
        let progress = Cell::new(0);
        let told = |bytes| progress.set(progress.get() + bytes);
        let (written, given_back) = sender.write_rest(sent, 0, told).await;
        written.expect("all written");
        assert_eq!(given_back, expected);
        assert_eq!(progress.get(), expected.len());
        sender.finish_writing();
        let mut received: Vec<u8> = Vec::new();
        let mut input = Input::new();
        while receiver.fill(&mut input).await.expect("a receive") > 0 {
            received.extend(input.pending());
            input.consume(input.pending().len());
        }
        assert!(received == expected);
    });
    echo.join().expect("an echo");
}

/// A part of it is consumed before the rest comes.
fn what_is_pending_stays_in_front_of_what_comes(driver: EngineKind) {
    let (listener, target) = upstream();
    let server = serve(listener, |mut stream| {
        stream.write_all(b"0123").expect("room");
        let _ = stream.read(&mut [0]);
        stream.write_all(b"456789").expect("room");
    });
    run(driver, async move {
        let stream = connect(&target).await.expect("a connection");
        let (mut receiver, mut sender) = stream.into_halves();
        let mut input = Input::new();
        receiver.readable().await.expect("bytes");
        while input.pending().len() < 4 {
            receiver.fill(&mut input).await.expect("a receive");
        }
        input.consume(3);
        assert_eq!(sender.send_now(b"x").expect("room"), 1);
        while receiver.fill(&mut input).await.expect("a receive") > 0 {}
        assert_eq!(input.pending(), b"3456789");
        input.consume(7);
        assert!(input.is_empty());
        assert_eq!(receiver.fill(&mut input).await.expect("the end"), 0);
    });
    server.join().expect("a server");
}

/// Many bytes do not come in many small parts.
fn the_input_grows_with_what_comes(driver: EngineKind) {
    const BYTES: usize = 1_000_000;
    let (listener, target) = upstream();
    let server = serve(listener, |mut stream| {
        stream.write_all(&vec![7; BYTES]).expect("room");
    });
    run(driver, async move {
        let stream = connect(&target).await.expect("a connection");
        let (mut receiver, _sender) = stream.into_halves();
        let (mut input, mut largest, mut total) = (Input::new(), 0, 0);
        loop {
            match receiver.fill(&mut input).await.expect("a receive") {
                0 => break,
                count => (largest, total) = (largest.max(count), total + count),
            }
            input.consume(input.pending().len());
        }
        assert_eq!(total, BYTES);
        assert!(largest >= 16 * 1024, "{largest} at most");
    });
    server.join().expect("a server");
}

/// The wait after a large one is as good as any: nothing is lost.
fn a_long_wait_needs_no_large_input(driver: EngineKind) {
    const BYTES: usize = 200_000;
    let (listener, target) = upstream();
    let server = serve(listener, |mut stream| {
        stream.write_all(&vec![7; BYTES]).expect("room");
        for _ in 0..3 {
            let _ = stream.read(&mut [0]);
            std::thread::sleep(Duration::from_millis(20));
            stream.write_all(b"late").expect("room");
        }
    });
    run(driver, async move {
        let stream = connect(&target).await.expect("a connection");
        let (mut receiver, mut sender) = stream.into_halves();
        let (mut input, mut total) = (Input::new(), 0);
        while total < BYTES {
            total += receiver.fill(&mut input).await.expect("a receive");
            input.consume(input.pending().len());
        }
        for _ in 0..3 {
            assert_eq!(sender.send_now(b"x").expect("room"), 1);
            let received = receiver.wait_and_fill(&mut input).await;
            assert_eq!(received.expect("bytes"), 4);
            assert_eq!(input.pending(), b"late");
            input.consume(4);
        }
        assert_eq!(
            receiver.wait_and_fill(&mut input).await.expect("the end"),
            0
        );
    });
    server.join().expect("a server");
}

/// And no more than that: it does not wait.
fn what_has_room_is_sent_at_once(driver: EngineKind) {
    let (listener, target) = upstream();
    let server = serve(listener, |mut stream| {
        let mut all = Vec::new();
        std::thread::sleep(Duration::from_millis(100));
        stream.read_to_end(&mut all).expect("all of it");
        assert!(all.iter().all(|byte| *byte == 7));
        stream.write_all(&all.len().to_be_bytes()).expect("room");
    });
    run(driver, async move {
        let stream = connect(&target).await.expect("a connection");
        let (mut receiver, mut sender) = stream.into_halves();
        let part = vec![7; 1_000_000];
        let mut sent = 0;
        while let count @ 1.. = sender.send_now(&part).expect("an open connection") {
            sent += count;
        }
        assert!(sent > 0);
        sender.finish_writing();
        let mut input = Input::new();
        while receiver.fill(&mut input).await.expect("a receive") > 0 {}
        assert_eq!(input.pending(), sent.to_be_bytes());
    });
    server.join().expect("a server");
}

/// As a proxy uses them: neither direction waits for the other.
fn halves_receive_and_send_at_once(driver: EngineKind) {
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
        let (mut receiver, mut sender) = stream.into_halves();
        spawn_local(async move {
            let (written, _) = sender.write_rest(vec![7; BYTES], 0, |_| ()).await;
            written.expect("all written");
            sender.finish_writing();
        });
        let mut received = 0;
        let mut input = Input::new();
        while receiver.fill(&mut input).await.expect("a receive") > 0 {
            received += input.pending().len();
            assert!(input.pending().iter().all(|byte| *byte == 7));
            input.consume(input.pending().len());
        }
        assert_eq!(received, BYTES);
    });
    echo.join().expect("an echo");
}

/// One half alone keeps it open, whichever it is.
fn the_last_half_closes_the_connection(driver: EngineKind) {
    for keeps_receiver in [true, false] {
        let (listener, target) = upstream();
        let server = serve(listener, |mut stream| {
            stream.set_nonblocking(true).expect("a flag");
            std::thread::sleep(Duration::from_millis(50));
            let open = stream.read(&mut [0]).expect_err("it is open");
            assert_eq!(open.kind(), ErrorKind::WouldBlock);
            stream.set_nonblocking(false).expect("a flag");
            assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
        });
        run(driver, async move {
            let stream = connect(&target).await.expect("a connection");
            let closer = stream.closer();
            let (receiver, sender) = stream.into_halves();
            let halves = (
                keeps_receiver.then_some(receiver),
                (!keeps_receiver).then_some(sender),
            );
            sleep(Duration::from_millis(150)).await;
            drop(halves);
            // Of a connection that is gone it closes nothing.
            closer.shutdown();
            assert_eq!(closer.unsent_bytes(), 0);
        });
        server.join().expect("a server");
    }
}

fn a_closer_ends_a_pending_receive(driver: EngineKind) {
    let (listener, target) = upstream();
    let server = serve(listener, |mut stream| {
        assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
    });
    run(driver, async move {
        let stream = connect(&target).await.expect("a connection");
        let closer = stream.closer();
        let (mut receiver, _sender) = stream.into_halves();
        spawn_local(async move {
            sleep(Duration::from_millis(20)).await;
            closer.shutdown();
        });
        let mut input = Input::new();
        let received = timeout(PATIENCE, receiver.fill(&mut input)).await;
        let received = received.expect("the receive ends");
        assert_eq!(received.expect("an end"), 0);
    });
    server.join().expect("a server");
}

fn a_dropped_receive_leaves_the_sending_intact(driver: EngineKind) {
    let (listener, target) = upstream();
    let server = serve(listener, |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("all of it");
        assert_eq!(all, vec![b'x'; 50]);
    });
    run(driver, async move {
        let stream = connect(&target).await.expect("a connection");
        let (mut receiver, mut sender) = stream.into_halves();
        for _ in 0..50 {
            {
                let mut input = Input::new();
                let mut receive = pin!(receiver.fill(&mut input));
                let polled = poll_fn(|cx| Poll::Ready(receive.as_mut().poll(cx))).await;
                assert!(polled.is_pending());
            }
            yield_now().await;
            let (written, _) = sender.write_rest(b"x".to_vec(), 0, |_| ()).await;
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
        let stream = connect(&Target::Unix(path)).await.expect("a connection");
        let (mut receiver, _sender) = stream.into_halves();
        let mut input = Input::new();
        assert_eq!(receiver.fill(&mut input).await.expect("a receive"), 5);
        assert_eq!(input.pending(), b"hello");
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
        let stream = connect(&target).await.expect("a connection");
        assert!(!is_ending());
        spawn_local(async move {
            let (mut receiver, sender) = stream.into_halves();
            let received = receiver.fill(&mut Input::new()).await;
            *told.borrow_mut() = Some((received.ok(), is_ending()));
            std::future::pending::<()>().await;
            drop((receiver, sender));
        });
        yield_now().await;
    });
    runtime.shutdown();
    server.join().expect("a server");
    assert_eq!(*ended.borrow(), Some((Some(0), true)));
}
