//! Which engine a test runs on: both, where the way a socket is read, written
//! or closed decides what is asserted, else one of them. The tests on io_uring
//! end in `::io_uring`, so that `tests/run` can leave them out, aloud, where the
//! host refuses io_uring; those on either then run on epoll.

use corelane::internals::topology::EngineKind;

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

    /// Those a body whose name is `name` runs on: one, which the hash of the name
    /// decides, so that it is always the same; both, if they are asked for.
    pub(crate) fn of(name: &str) -> Vec<Self> {
        let all = [Self::IoUring, Self::Epoll];
        let is_asked_for = std::env::var_os(BOTH).is_some_and(|value| value == "1");
        let is_allowed = |engine: &Self| *engine == Self::Epoll || allows_io_uring();
        let chosen = match is_asked_for {
            true => all.to_vec(),
            false => vec![all[usize::from(hash(name).is_multiple_of(2))]],
        };
        let allowed: Vec<Self> = chosen.into_iter().filter(is_allowed).collect();
        match allowed.is_empty() {
            true => vec![Self::Epoll],
            false => allowed,
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

/// Makes a test `name::either` of each `fn name(engine: Engine)`: of bodies that
/// assert what is above the engines, on one of them.
macro_rules! either_engine {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn either() {
                for engine in $crate::harness::Engine::of(module_path!()) {
                    println!("on {}", engine.name());
                    super::$name(engine);
                }
            }
        }
    )+};
}

/// With "1" in it, what runs on either engine runs on both.
const BOTH: &str = "CORELANE_BOTH_ENGINES";

/// Asked on a thread of its own: what the kernel still does for a ring that has
/// ended interrupts the system calls of the thread that made it.
fn allows_io_uring() -> bool {
    let asked = std::thread::spawn(|| io_uring::IoUring::new(8).is_ok());
    asked.join().expect("no panic")
}

/// FNV-1a: the same for a name on every machine and in every version of Rust.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Neither engine gets next to all.
#[test]
fn names_are_spread_over_both_engines() {
    let names = (0..100).map(|number| format!("it::topic::a_body_says_{number}"));
    let even = names.filter(|name| hash(name).is_multiple_of(2)).count();
    assert!((35..=65).contains(&even), "{even}");
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
