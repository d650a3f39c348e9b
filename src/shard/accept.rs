//! Taking connections off a listener, within its limit; the same for both
//! entrances.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;

use super::Shard;
use super::connection::{ConnectionIo, ConnectionState};
use super::entrance::Entrance;
use crate::app::Door;
use crate::engine::{self, TcpStream};
use crate::limits::{ACCEPT_PAUSE_MS, ACCEPTS_PER_TURN_MAX, OVERLOAD_ANSWERS_MAX};

impl Shard {
    /// Starts accepting, with as many accepts in flight as take connections in
    /// one turn of the shard: after each the ring must be asked again.
    pub(super) fn start_accepting(self: &Rc<Self>, entrance: &Rc<Entrance>) {
        let count = match entrance.door {
            Door::Public => entrance.listener.accepts_in_flight_max(),
            Door::Admin => 1,
        };
        entrance.accepting.set(count);
        for _ in 0..count {
            engine::spawn_local(self.clone().accept_connections(entrance.clone()));
        }
    }

    /// Accepts until the listener is closed. Nothing races an accept: a
    /// connection accepted into a dropped future would be lost.
    async fn accept_connections(self: Rc<Self>, entrance: Rc<Entrance>) {
        let mut accepted = 0u32;
        while !self.context.draining.has_begun() {
            match entrance.listener.accept().await {
                Ok((stream, peer)) => {
                    self.admit(&entrance, stream, peer);
                    accepted = accepted.wrapping_add(1);
                    if accepted.is_multiple_of(ACCEPTS_PER_TURN_MAX) {
                        engine::yield_now().await;
                    }
                }
                Err(_) if self.context.draining.has_begun() => break,
                Err(error) => self.survive_accept_error(&error).await,
            }
        }
        entrance.accepting.set(entrance.accepting.get() - 1);
        self.connection_ended.notify();
    }

    pub(super) fn admit(
        self: &Rc<Self>,
        entrance: &Rc<Entrance>,
        stream: TcpStream,
        peer: SocketAddr,
    ) {
        if entrance.connections.get() >= entrance.connections_max {
            return self.refuse(entrance, stream);
        }
        entrance.connections.set(entrance.connections.get() + 1);
        let state = Rc::new(ConnectionState::new(stream.closer()));
        let key = self.connections.borrow_mut().insert(state.clone());
        self.context.metrics.borrow_mut().connection_opened();
        let io = Box::new(ConnectionIo::new(stream, state));
        let shard = self.clone();
        engine::spawn_local(shard.serve_connection(entrance.clone(), io, peer, key));
    }

    /// Answers 503 and closes. Past [`OVERLOAD_ANSWERS_MAX`] answers under way
    /// it only closes, so that being over the limit has a limit too.
    fn refuse(self: &Rc<Self>, entrance: &Rc<Entrance>, stream: TcpStream) {
        self.context.metrics.borrow_mut().connection_refused();
        let under_way = entrance.overload_answers.get();
        if under_way >= OVERLOAD_ANSWERS_MAX {
            return;
        }
        entrance.overload_answers.set(under_way + 1);
        let (shard, entrance) = (self.clone(), entrance.clone());
        engine::spawn_local(async move {
            shard.answer_overload(stream).await;
            let under_way = &entrance.overload_answers;
            under_way.set(under_way.get() - 1);
        });
    }

    /// Errors of one connection are skipped; when descriptors or memory have
    /// run out, accepting pauses instead of spinning.
    async fn survive_accept_error(&self, error: &io::Error) {
        match Errno::from_io_error(error) {
            Some(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {}
            _ => {
                if self.accept_trouble.tell_again() {
                    self.errors.tell(format!(
                        "shard {} cannot accept: {error}; pausing {ACCEPT_PAUSE_MS} ms (if \
                         descriptors ran out, raise LimitNOFILE or `ulimit -n`)",
                        self.context.info.index
                    ));
                }
                engine::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}
