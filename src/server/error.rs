//! Why a server does not start. Each message names the cure.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::AdminError;
use super::port_owner::owner_of;
use crate::app::AppError;
use crate::engine::{BuildError, NotListening};
use crate::topology::TopologyError;

/// Why [`super::Server::start`] failed. A `main` that returns it prints it by
/// `Debug`, so that is the message too.
pub enum StartError {
    /// The app is not valid: routes, nesting or state.
    App(AppError),
    /// The shards do not fit the machine.
    Placement(String),
    /// The cores that were named cannot be had.
    Pinning(TopologyError),
    /// The address cannot be bound.
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What bind(2) or listen(2) said.
        source: io::Error,
    },
    /// There can be no such admin listener.
    Admin(AdminError),
    /// The admin listener's address cannot be bound.
    AdminBind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What bind(2) or listen(2) said.
        source: io::Error,
    },
    /// A socket that was handed in is no listener.
    Adopt {
        /// Which of them, from 0.
        index: usize,
        /// What it is instead.
        source: NotListening,
    },
    /// The socket handed in for the admin listener is none.
    AdoptAdmin(NotListening),
    /// The reactor cannot be built.
    Engine(BuildError),
    /// The system gave no thread or socket.
    Thread(io::Error),
    /// The access log cannot be opened.
    Log {
        /// Its path.
        path: PathBuf,
        /// What open(2) said.
        source: io::Error,
    },
    /// A shard could not build its world.
    Shard {
        /// Index of the shard.
        shard: usize,
        /// What it said.
        message: String,
    },
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::App(error) => write!(f, "the app is not valid: {error}"),
            Self::Placement(message) => f.write_str(message),
            Self::Pinning(error) => error.fmt(f),
            Self::Bind { address, source } => {
                write!(
                    f,
                    "cannot listen on {address}: {source}. {}",
                    bind_cure(*address, source, "another --listen")
                )
            }
            Self::Admin(error) => error.fmt(f),
            Self::AdminBind { address, source } => {
                write!(
                    f,
                    "cannot listen on {address}, which is admin.listen: {source}. {}",
                    bind_cure(
                        *address,
                        source,
                        "another port with --admin, or `--admin off`"
                    )
                )
            }
            Self::Adopt { index, source } => write!(
                f,
                "cannot serve from socket {index} of those handed in: {source}. {ADOPT_CURE}"
            ),
            Self::AdoptAdmin(source) => write!(
                f,
                "cannot serve from the socket handed in for the admin listener: {source}. \
                 {ADOPT_CURE}"
            ),
            Self::Engine(error) => error.fmt(f),
            Self::Thread(error) => write!(
                f,
                "the system gave no thread or socket: {error}. Raise TasksMax or `ulimit -u`, and \
                 LimitNOFILE or `ulimit -n`"
            ),
            Self::Log { path, source } => write!(
                f,
                "cannot open the access log {}: {source}. Create its folder, make it writable, or \
                 choose another target",
                path.display()
            ),
            Self::Shard { shard, message } => write!(f, "shard {shard} did not start: {message}"),
        }
    }
}

impl std::fmt::Debug for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StartError {}

const ADOPT_CURE: &str = "Hand in TCP sockets on which bind(2) and listen(2) have been called; \
                          with systemd, `ListenStream=` with a port and `Accept=no`";

fn bind_cure(address: SocketAddr, error: &io::Error, other: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let port = address.port();
            let owner = match owner_of(address) {
                Some(owner) => format!("{owner} has port {port}"),
                None => format!(
                    "Another user's process has port {port}, or one in another container, or a \
                     socket of one that has ended and was not let go of in a second"
                ),
            };
            format!("{owner}: `ss -ltnp 'sport = :{port}'` shows it; stop it or choose {other}")
        }
        io::ErrorKind::PermissionDenied => format!(
            "Ports below 1024 need CAP_NET_BIND_SERVICE: `AmbientCapabilities=` in the systemd \
             unit, or a port above 1023 (asked: {}): choose {other}",
            address.port()
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "This machine has no address {}: `ip address` lists those it has; choose {other}",
            address.ip()
        ),
        _ => format!("Choose {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `fn main() -> Result<(), StartError>` prints.
    #[test]
    fn what_a_main_prints_is_the_message_with_its_cure() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = StartError::Bind { address, source };
        assert!(
            error
                .to_string()
                .starts_with("cannot listen on 127.0.0.1:80")
        );
        assert_eq!(format!("{error:?}"), error.to_string());
        let error = StartError::App(AppError::RedisTwice);
        assert_eq!(format!("{error:?}"), error.to_string());
        assert_eq!(
            format!("{:?}", AppError::RedisTwice),
            AppError::RedisTwice.to_string()
        );
    }
}
