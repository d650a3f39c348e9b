//! The floor that corelane is measured against: level-triggered epoll,
//! httparse, finished answers with the headers corelane sends; a thread per
//! core, each with its own listener, epoll and answers.
//!
//! Fair: same bytes on the wire, keep-alive, pipelining, requests split over
//! reads, one write for all answers of one read, a Date rebuilt once a second.
//! Unfair to corelane: two routes, no cache, limits, deadlines, metrics or
//! request bodies.

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use contract::Start;
use raw_epoll::{Answers, Remainder};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};

const LISTENER: u64 = u64::MAX;
const INPUT_BYTES: usize = 16 * 1024;

fn main() {
    let start = Start::from_environment();
    let users = start.users();
    start.run(|| {
        let answers = Answers::new("rawepoll", &users);
        |listener| Worker::new(listener, answers).run()
    });
}

/// One thread's world.
struct Worker {
    listener: TcpListener,
    poll: OwnedFd,
    connections: Vec<Option<Connection>>,
    /// Places in `connections` that nobody has.
    free: Vec<usize>,
    answers: Answers,
    input: Vec<u8>,
    output: Vec<u8>,
}

struct Connection {
    socket: OwnedFd,
    remainder: Remainder,
    /// Answers that the socket had no room for; watched for writing instead of
    /// reading until they are sent.
    unsent: Vec<u8>,
    closing: bool,
}

impl Worker {
    fn new(listener: TcpListener, answers: Answers) -> Self {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        let data = EventData::new_u64(LISTENER);
        epoll::add(&poll, &listener, data, EventFlags::IN).expect("watch the listener");
        Self {
            listener,
            poll,
            connections: Vec::new(),
            free: Vec::new(),
            answers,
            input: vec![0; INPUT_BYTES],
            output: Vec::with_capacity(INPUT_BYTES),
        }
    }

    fn run(mut self) {
        let mut events = Vec::with_capacity(256);
        loop {
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            if epoll::wait(&self.poll, spare, None).is_err() {
                continue;
            }
            self.answers.refresh();
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    index => self.serve(index as usize),
                }
            }
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while let Ok(socket) = accept_with(&self.listener, flags) {
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let data = EventData::new_u64(index as u64);
            epoll::add(&self.poll, &socket, data, EventFlags::IN).expect("watch");
            self.connections[index] = Some(Connection {
                socket,
                remainder: Remainder::default(),
                unsent: Vec::new(),
                closing: false,
            });
        }
    }

    fn serve(&mut self, index: usize) {
        let Some(connection) = self.connections[index].as_mut() else {
            return;
        };
        let goes_on = if connection.unsent.is_empty() {
            self.output.clear();
            connection.exchange(&self.answers, &mut self.input, &mut self.output)
        } else {
            connection.send_unsent()
        };
        let watch = match goes_on {
            Ok(None) => return,
            Ok(Some(watch)) => {
                let data = EventData::new_u64(index as u64);
                epoll::modify(&self.poll, &connection.socket, data, watch)
            }
            Err(error) => Err(error),
        };
        if watch.is_err() {
            self.connections[index] = None;
            self.free.push(index);
        }
    }
}

/// What to watch a connection for from now on, if that changes; an error ends it.
type Watch = Result<Option<EventFlags>, Errno>;

impl Connection {
    /// One read, all its requests, one write.
    fn exchange(&mut self, answers: &Answers, input: &mut [u8], output: &mut Vec<u8>) -> Watch {
        let received = match recv(&self.socket, &mut *input, RecvFlags::empty()) {
            Ok((0, _)) => return Err(Errno::CONNRESET),
            Ok((received, _)) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.closing = self.remainder.answer(&input[..received], answers, output);
        match send(&self.socket, output, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == output.len() => self.goes_on(None),
            Ok(sent) => self.keep_unsent(&output[sent..]),
            Err(Errno::AGAIN | Errno::INTR) => self.keep_unsent(output),
            Err(error) => Err(error),
        }
    }

    fn keep_unsent(&mut self, unsent: &[u8]) -> Watch {
        self.unsent.extend_from_slice(unsent);
        Ok(Some(EventFlags::OUT))
    }

    fn send_unsent(&mut self) -> Watch {
        match send(&self.socket, &self.unsent, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == self.unsent.len() => {
                self.unsent = Vec::new();
                self.goes_on(Some(EventFlags::IN))
            }
            Ok(sent) => {
                self.unsent.drain(..sent);
                Ok(None)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All is sent: watch for what is given, or close if that was wished.
    fn goes_on(&self, watch: Option<EventFlags>) -> Watch {
        if self.closing {
            return Err(Errno::CONNRESET);
        }
        Ok(watch)
    }
}
