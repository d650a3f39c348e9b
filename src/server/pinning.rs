//! Whether the shards are pinned: tried before any shard is built, so that a host
//! that refuses it is found out while there is a choice.

use super::StartError;
use crate::topology::{Pinning, Placement, TopologyError};

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) pin: bool,
    /// Why not, where it was wanted.
    pub(super) refused: Option<String>,
}

/// Tries `pin` on the CPU of every shard, on a thread that ends with it.
///
/// # Errors
/// [`StartError::Pinning`] when the cores were named and cannot be had.
pub(super) fn decide(
    placement: &Placement,
    is_wanted: bool,
    pin: impl Fn(usize) -> Result<(), TopologyError> + Sync,
) -> Result<Decision, StartError> {
    let decided = |pin, refused| Ok(Decision { pin, refused });
    if !is_wanted || placement.pinning == Pinning::Off {
        return decided(false, None);
    }
    let cpus = placement.shards.iter().map(|slot| slot.cpu);
    let tried = std::thread::scope(|scope| {
        let trying = std::thread::Builder::new().spawn_scoped(scope, || {
            let mut cpus = cpus.clone();
            cpus.try_for_each(&pin)
        });
        let trying = trying.map_err(StartError::Thread)?;
        trying.join().map_err(|_| {
            let panicked = std::io::Error::other("trying to pin a thread panicked");
            StartError::Thread(panicked)
        })
    })?;
    match tried {
        Ok(()) => decided(true, None),
        Err(error) if placement.pinning == Pinning::Required => Err(StartError::Pinning(error)),
        Err(error) => decided(false, Some(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{CoreMapOptions, CoreSelection, Machine, place};

    fn placement(cores: CoreSelection) -> Placement {
        let options = CoreMapOptions {
            cores,
            ..CoreMapOptions::default()
        };
        place(&Machine::read().unwrap(), &options).unwrap()
    }

    fn refuse(_: usize) -> Result<(), TopologyError> {
        let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        Err(TopologyError::PinningRefused { source })
    }

    #[test]
    fn a_refusal_is_a_warning_where_nobody_named_the_cores() {
        for cores in [CoreSelection::All, CoreSelection::Count(1)] {
            let placement = placement(cores);
            let decision = decide(&placement, true, refuse).unwrap();
            assert!(!decision.pin);
            let why = decision.refused.expect("a reason");
            assert!(why.contains("sched_setaffinity is refused"), "{why}");
            let unasked = decide(&placement, false, refuse).unwrap();
            assert_eq!((unasked.pin, unasked.refused), (false, None));
            assert!(decide(&placement, true, |_| Ok(())).unwrap().pin);
        }
    }

    #[test]
    fn a_refusal_of_named_cores_is_an_error_with_its_cause() {
        let cpu = placement(CoreSelection::Count(1)).shards[0].cpu;
        let placement = placement(CoreSelection::List(vec![cpu]));
        let error = decide(&placement, true, refuse).unwrap_err().to_string();
        for word in ["sched_setaffinity is refused", "seccomp", "cores"] {
            assert!(error.contains(word), "{word} in {error}");
        }
        assert!(decide(&placement, true, |_| Ok(())).unwrap().pin);
    }
}
