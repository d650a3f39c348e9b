//! The command line of a benchmark: `--name value`, in any order.

use corelane::internals::topology::EngineKind;

/// The value of `--name`.
pub fn text(name: &str) -> Option<String> {
    all(name).into_iter().next()
}

/// Every value of `--name`, which may be given several times.
pub fn all(name: &str) -> Vec<String> {
    let args: Vec<String> = std::env::args().collect();
    let named = args.iter().zip(args.iter().skip(1));
    let values = named.filter(|(arg, _)| *arg == name);
    values.map(|(_, value)| value.clone()).collect()
}

/// The number that `--name` gives.
///
/// # Panics
/// When it is none.
pub fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    text(name).map(|text| {
        let number = text.parse();
        number.unwrap_or_else(|_| panic!("{name} takes a number"))
    })
}

/// The reactor that `--engine` names; io_uring by default.
///
/// # Panics
/// When there is no such reactor.
pub fn engine() -> EngineKind {
    text("--engine").map_or(EngineKind::IoUring, |name| {
        EngineKind::from_name(&name).expect("--engine io_uring or --engine epoll")
    })
}
