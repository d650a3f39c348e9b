//! Runs one test on both engines. The tests on io_uring end in `::io_uring`, so
//! that `tests/run` can leave them out, aloud, where the host refuses io_uring.

use corelane::topology::EngineKind;

/// The reactor a test's server runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    IoUring,
    Epoll,
}

impl Engine {
    /// As the command line and the configuration say it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }

    /// As the library says it.
    pub(crate) fn kind(self) -> EngineKind {
        match self {
            Self::IoUring => EngineKind::IoUring,
            Self::Epoll => EngineKind::Epoll,
        }
    }
}

/// Makes two tests of each `fn name(engine: Engine)`: `name::io_uring` and
/// `name::epoll`.
macro_rules! both_engines {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn io_uring() {
                super::$name($crate::harness::Engine::IoUring);
            }

            #[test]
            fn epoll() {
                super::$name($crate::harness::Engine::Epoll);
            }
        }
    )+};
}

/// `tests/run` asks this first. Not a test of corelane: it fails where the host
/// refuses io_uring, and says why.
#[test]
#[ignore = "tests/run runs it to find out whether this host allows io_uring"]
fn io_uring_probe() {
    if let Err(error) = io_uring::IoUring::new(8) {
        let switch = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
        panic!("io_uring is refused: {error}; kernel.io_uring_disabled = {switch:?}");
    }
}
