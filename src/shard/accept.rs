//! Taking connections off a listener, within its limit; the same for both
//! listeners.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use super::Shard;
use super::connection::ConnectionState;
use super::listener::ShardListener;
use super::read_half::ReadHalf;
use super::write_half::WriteHalf;
use crate::engine::{self, TcpStream};
use crate::limits::{ACCEPT_PAUSE_MS, OVERLOAD_ANSWERS_MAX};

impl Shard {
    /// Starts accepting.
    pub(super) fn start_accepting(self: &Rc<Self>, listener: &Rc<ShardListener>) {
        for socket in &listener.sockets {
            let (shard, listener) = (self.clone(), listener.clone());
            socket.run(move |accepted| match accepted {
                Ok((stream, peer)) => shard.admit(&listener, stream, peer),
                Err(error) => shard.log_accept_error(&error),
            });
        }
    }

    fn admit(self: &Rc<Self>, listener: &Rc<ShardListener>, stream: TcpStream, peer: SocketAddr) {
        if listener.connections.get() >= listener.connections_max {
            return self.refuse(listener, stream, peer);
        }
        listener.connections.set(listener.connections.get() + 1);
        let halves = halves(stream);
        let state = halves.1.state.clone();
        let key = self.connections.borrow_mut().insert(state);
        self.context.metrics.borrow_mut().connection_opened();
        let (shard, listener) = (self.clone(), listener.clone());
        engine::spawn_local(shard.serve_connection(listener, halves, peer, key));
    }

    /// Answers 503 and closes. Past [`OVERLOAD_ANSWERS_MAX`] answers under way
    /// it only closes, so that being over the limit has a limit too.
    fn refuse(self: &Rc<Self>, listener: &Rc<ShardListener>, stream: TcpStream, peer: SocketAddr) {
        self.context.metrics.borrow_mut().connection_refused();
        let under_way = listener.overload_answers.get();
        if under_way >= OVERLOAD_ANSWERS_MAX {
            return;
        }
        listener.overload_answers.set(under_way + 1);
        let (shard, listener) = (self.clone(), listener.clone());
        engine::spawn_local(async move {
            shard.answer_overload(halves(stream), peer).await;
            let under_way = &listener.overload_answers;
            under_way.set(under_way.get() - 1);
        });
    }

    /// Descriptors or memory have run out, and accepting pauses.
    fn log_accept_error(&self, error: &io::Error) {
        if self.accept_errors.allows() {
            self.errors.log(format!(
                "shard {} cannot accept: {error}; pausing {ACCEPT_PAUSE_MS} ms (if \
                 descriptors ran out, raise LimitNOFILE or `ulimit -n`)",
                self.context.info.index
            ));
        }
    }
}

/// Boxed once, so that the tasks they go through stay small.
fn halves(stream: TcpStream) -> Box<(ReadHalf, WriteHalf)> {
    let state = Rc::new(ConnectionState::new(stream.closer()));
    let (receiver, sender) = stream.into_halves();
    let reading = ReadHalf::new(receiver, state.clone());
    Box::new((reading, WriteHalf::new(sender, state)))
}
