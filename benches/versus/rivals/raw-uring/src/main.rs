//! The floor on io_uring: multishot accept, multishot receive into provided
//! buffers, sends submitted in batches, one system call per turn; the answers
//! of raw-epoll. A thread per core, each with its own listener and ring.
//!
//! Fair: same bytes on the wire, keep-alive, pipelining, requests split over
//! receives, one send for all answers of one receive, a Date rebuilt once a
//! second. Unfair to corelane: two routes, no cache, limits, deadlines,
//! metrics or request bodies.
//!
//! DEFER_TASKRUN is on, as it took less CPU per request in alternating runs;
//! `RING_TASKRUN=cooperative` leaves it out, to see what it is worth.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};

use contract::Start;
use raw_epoll::{Answers, Remainder};
use rustix::io::Errno;

mod ring;

use ring::{Completion, Operation, Ring, Taskrun};

/// Buffers kept for the next answers.
const SPARE_BUFFERS_MAX: usize = 1024;

fn main() {
    let start = Start::from_environment();
    let users = start.users();
    let taskrun = match std::env::var("RING_TASKRUN").as_deref() {
        Ok("deferred") | Err(_) => Taskrun::Deferred,
        Ok("cooperative") => Taskrun::Cooperative,
        Ok(other) => panic!("RING_TASKRUN is deferred or cooperative, not {other}"),
    };
    start.run(|| {
        let answers = Answers::new("rawuring", &users);
        move |listener| Worker::new(listener, answers, taskrun).run()
    });
}

/// One thread's world.
struct Worker {
    listener: TcpListener,
    ring: Ring,
    connections: Vec<Connection>,
    /// Places in `connections` that nobody has.
    free: Vec<usize>,
    answers: Answers,
    spare: Vec<Vec<u8>>,
}

struct Connection {
    socket: RawFd,
    remainder: Remainder,
    /// Answers that wait for the send under way.
    output: Vec<u8>,
    /// Operations under way. A connection is closed when there is none.
    receiving: bool,
    sending: bool,
    shutting: bool,
    /// Nothing more is received or answered; what is answered is still sent.
    ended: bool,
}

impl Worker {
    fn new(listener: TcpListener, answers: Answers, taskrun: Taskrun) -> Self {
        let mut ring = Ring::new(taskrun);
        ring.accept(listener.as_raw_fd());
        Self {
            listener,
            ring,
            connections: Vec::new(),
            free: Vec::new(),
            answers,
            spare: Vec::new(),
        }
    }

    fn run(mut self) {
        let mut completions = Vec::with_capacity(1024);
        loop {
            self.ring.turn(&mut completions);
            self.answers.refresh();
            for completion in completions.drain(..) {
                match completion.operation {
                    Operation::Accept => self.accepted(&completion),
                    Operation::Receive(index) => self.received(index, &completion),
                    Operation::Send(index) => self.sent(index, completion.result),
                    Operation::Shutdown(index) => {
                        self.connections[index].shutting = false;
                        self.close_if_done(index);
                    }
                    Operation::Close => {}
                }
            }
        }
    }

    fn accepted(&mut self, completion: &Completion) {
        if let Ok(socket) = completion.result {
            let connection = Connection {
                socket: socket as RawFd,
                remainder: Remainder::default(),
                output: Vec::new(),
                receiving: true,
                sending: false,
                shutting: false,
                ended: false,
            };
            let index = self.free.pop().unwrap_or(self.connections.len());
            self.ring.receive(connection.socket, index);
            if index == self.connections.len() {
                self.connections.push(connection);
            } else {
                self.connections[index] = connection;
            }
        }
        if !completion.more {
            self.ring.accept(self.listener.as_raw_fd());
        }
    }

    fn received(&mut self, index: usize, completion: &Completion) {
        let connection = &mut self.connections[index];
        connection.receiving = completion.more;
        match (completion.result, completion.buffer) {
            (Ok(bytes), Some(buffer)) if bytes > 0 => {
                if !connection.ended {
                    if connection.output.capacity() == 0 {
                        connection.output = self.spare.pop().unwrap_or_default();
                    }
                    let input = self.ring.received(buffer, bytes);
                    let output = &mut connection.output;
                    connection.ended = connection.remainder.answer(input, &self.answers, output);
                }
                self.ring.give_back(buffer);
            }
            (result, buffer) => {
                if let Some(buffer) = buffer {
                    self.ring.give_back(buffer);
                }
                // Out of buffers: they are back by the end of this turn.
                connection.ended |= result != Err(Errno::NOBUFS);
            }
        }
        if !connection.receiving && !connection.ended {
            connection.receiving = true;
            self.ring.receive(connection.socket, index);
        }
        if !connection.sending {
            self.send_next(index);
        }
    }

    fn sent(&mut self, index: usize, result: Result<u32, Errno>) {
        let mut bytes = self.ring.take_sent(index);
        let connection = &mut self.connections[index];
        connection.sending = false;
        match result {
            Ok(sent) if sent as usize == bytes.len() => {
                bytes.clear();
                if self.spare.len() < SPARE_BUFFERS_MAX {
                    self.spare.push(bytes);
                }
            }
            Ok(sent) => {
                bytes.drain(..sent as usize);
                bytes.append(&mut connection.output);
                connection.output = bytes;
            }
            Err(_) => {
                connection.ended = true;
                connection.output = Vec::new();
            }
        }
        self.send_next(index);
    }

    /// Sends what is answered; the last of an ended connection with a shutdown
    /// behind it, which ends the receive.
    fn send_next(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if connection.output.is_empty() {
            if connection.ended && connection.receiving && !connection.shutting {
                connection.shutting = true;
                self.ring.shutdown(connection.socket, index);
            }
            self.close_if_done(index);
            return;
        }
        let bytes = std::mem::take(&mut connection.output);
        let last = connection.ended && connection.receiving && !connection.shutting;
        connection.sending = true;
        connection.shutting |= last;
        self.ring.send(connection.socket, index, bytes, last);
    }

    fn close_if_done(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let busy = connection.receiving || connection.sending || connection.shutting;
        if connection.ended && !busy {
            // The place is somebody else's from now on.
            connection.output = Vec::new();
            self.ring.close(connection.socket);
            self.free.push(index);
        }
    }
}
