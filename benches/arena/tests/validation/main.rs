//! What HttpArena's validation asks of each profile, and what it does not:
//! wrong input, limits, a database that is away. On both engines.

mod client;
mod crud;
mod database;
mod files;
mod json;
mod server;
mod sums;
mod upload;

/// Makes two tests of each `fn name(engine: EngineKind)`: `name::io_uring`,
/// which `tests/run` leaves out where the host refuses io_uring, and
/// `name::epoll`.
macro_rules! both_engines {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn io_uring() {
                super::$name(corelane::internals::topology::EngineKind::IoUring);
            }

            #[test]
            fn epoll() {
                super::$name(corelane::internals::topology::EngineKind::Epoll);
            }
        }
    )+};
}
pub(crate) use both_engines;
