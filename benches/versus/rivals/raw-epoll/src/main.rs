//! The floor that corelane is measured against: one thread, level-triggered
//! epoll, httparse, a constant answer with the headers corelane sends.
//!
//! Usage: `raw-epoll PORT CPU`. Fair: same bytes on the wire, keep-alive,
//! pipelining, one write for all answers of one read, a Date rebuilt once a
//! second. Unfair to corelane: no router, no limits, no deadlines, no metrics,
//! no request bodies, no error answers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Instant, SystemTime};

use rustix::event::epoll;

fn main() {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().and_then(|a| a.parse().ok()).expect("usage: raw-epoll PORT CPU");
    let cpu: usize = args.next().and_then(|a| a.parse().ok()).expect("usage: raw-epoll PORT CPU");
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(cpu);
    rustix::thread::sched_setaffinity(None, &cpus).expect("the CPU exists and is allowed");
    serve(TcpListener::bind(("127.0.0.1", port)).expect("the port is free"));
}

fn serve(listener: TcpListener) {
    listener.set_nonblocking(true).expect("a nonblocking listener");
    rustix::net::sockopt::set_tcp_nodelay(&listener, true).expect("TCP_NODELAY");
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    let token = epoll::EventData::new_u64(LISTENER);
    epoll::add(&poll, &listener, token, epoll::EventFlags::IN).expect("watch the listener");
    println!("listening on {}", listener.local_addr().expect("bound"));
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut free = Vec::new();
    let mut events = Vec::with_capacity(256);
    let mut answer = Answer::new();
    loop {
        events.clear();
        let spare = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&poll, spare, None).is_err() {
            continue;
        }
        answer.refresh();
        for event in &events {
            let token = event.data.u64();
            if token == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).expect("a nonblocking connection");
                    let index = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    let data = epoll::EventData::new_u64(index as u64);
                    epoll::add(&poll, stream.as_fd(), data, epoll::EventFlags::IN).expect("watch");
                    connections[index] = Some(stream);
                }
                continue;
            }
            let index = token as usize;
            let Some(stream) = connections[index].as_mut() else { continue };
            if !answer.exchange(stream) {
                connections[index] = None;
                free.push(index);
            }
        }
    }
}

const LISTENER: u64 = u64::MAX;

/// Buffers and the constant answer.
struct Answer {
    input: Vec<u8>,
    output: Vec<u8>,
    bytes: Vec<u8>,
    built: Instant,
}

impl Answer {
    fn new() -> Self {
        let mut answer = Self {
            input: vec![0; 16 * 1024],
            output: Vec::with_capacity(16 * 1024),
            bytes: Vec::new(),
            built: Instant::now(),
        };
        answer.build();
        answer
    }

    fn build(&mut self) {
        let date = httpdate::fmt_http_date(SystemTime::now());
        self.bytes = format!(
            "HTTP/1.1 200 OK\r\nserver: corelane\r\ndate: {date}\r\n\
             content-type: text/plain; charset=utf-8\r\ncontent-length: 13\r\n\r\nHello, World!"
        )
        .into_bytes();
        self.built = Instant::now();
    }

    fn refresh(&mut self) {
        if self.built.elapsed().as_secs() >= 1 {
            self.build();
        }
    }

    /// One read, all its requests, one write. Requests split over reads end
    /// the connection: the load of the benchmark never does that.
    fn exchange(&mut self, stream: &mut TcpStream) -> bool {
        let received = match stream.read(&mut self.input) {
            Ok(0) => return false,
            Ok(n) => n,
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        };
        self.output.clear();
        let mut rest = &self.input[..received];
        while !rest.is_empty() {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(rest) {
                Ok(httparse::Status::Complete(bytes)) => rest = &rest[bytes..],
                _ => return false,
            }
            self.output.extend_from_slice(&self.bytes);
        }
        stream.write_all(&self.output).is_ok()
    }
}
