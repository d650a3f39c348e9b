//! The affinity mask: what this process may use, and pinning a thread to it.
//!
//! `sched_getaffinity` already is the intersection of the mask the process was
//! started with (taskset, `CPUAffinity=`) and its cpuset cgroup, so no cgroup
//! file is read. Everything here concerns the *calling thread*: ask for
//! [`allowed_cpus`] before pinning, or the answer is the pin.

use std::io;

use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::TopologyError;
use corelane_proto::limits::CPU_IDS_MAX;

const _: () = assert!(
    CpuSet::MAX_CPU == CPU_IDS_MAX,
    "both masks end at the same id"
);

/// CPUs the calling thread may run on, ascending.
///
/// # Errors
///
/// [`TopologyError::Affinity`] when the kernel does not say, for instance
/// because it was booted for more than [`CPU_IDS_MAX`] CPUs.
pub fn allowed_cpus() -> Result<Vec<usize>, TopologyError> {
    let mask = sched_getaffinity(None).map_err(|error| affinity_error("read", error))?;
    Ok((0..CPU_IDS_MAX).filter(|&cpu| mask.is_set(cpu)).collect())
}

/// Pins the calling thread to one CPU and reads the mask back to be sure.
///
/// # Errors
///
/// [`TopologyError::CpuIdTooLarge`] for an id of [`CPU_IDS_MAX`] or more
/// (core_affinity would abort the process there),
/// [`TopologyError::PinningRefused`] where a thread's mask may not be set, and
/// [`TopologyError::NotPinned`] when the thread's mask is not exactly `cpu`
/// afterwards: the CPU went offline or left the cpuset.
pub fn pin_current_thread(cpu: usize) -> Result<(), TopologyError> {
    if cpu >= CPU_IDS_MAX {
        return Err(TopologyError::CpuIdTooLarge { cpu });
    }
    let taken = core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
    if !taken {
        let mut only = CpuSet::new();
        only.set(cpu);
        // core_affinity does not say why. EINVAL is a CPU that may not be had.
        match sched_setaffinity(None, &only) {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => {
                let source = errno.into();
                return Err(TopologyError::PinningRefused { source });
            }
        }
    }
    let mask = allowed_cpus()?;
    if taken && mask == [cpu] {
        Ok(())
    } else {
        Err(TopologyError::NotPinned {
            asked: vec![cpu],
            mask,
        })
    }
}

/// Lets the calling thread, and the threads it starts from now on, run on any
/// of `cpus`: the housekeeping threads, and a thread that was pinned and is
/// not any more. core_affinity knows only single CPUs.
///
/// # Errors
///
/// As [`pin_current_thread`], and [`TopologyError::NoCpus`] for an empty list.
/// After [`TopologyError::NotPinned`] the thread has the mask the error names.
pub fn confine_current_thread(cpus: &[usize]) -> Result<(), TopologyError> {
    if cpus.is_empty() {
        return Err(TopologyError::NoCpus);
    }
    let mut asked = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CPU_IDS_MAX {
            return Err(TopologyError::CpuIdTooLarge { cpu });
        }
        asked.set(cpu);
    }
    let taken = sched_setaffinity(None, &asked);
    let mask = sched_getaffinity(None).map_err(|error| affinity_error("read", error))?;
    if taken.is_ok() && mask == asked {
        return Ok(());
    }
    Err(TopologyError::NotPinned {
        asked: cpus.to_vec(),
        mask: allowed_cpus()?,
    })
}

fn affinity_error(what: &'static str, error: rustix::io::Errno) -> TopologyError {
    TopologyError::Affinity {
        what,
        source: io::Error::from(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs on a thread of its own: the mask of a test thread must not leak.
    fn on_a_thread(body: fn()) {
        std::thread::spawn(body).join().unwrap();
    }

    #[test]
    fn a_pinned_thread_runs_where_it_was_pinned_and_can_be_let_go() {
        on_a_thread(|| {
            let allowed = allowed_cpus().unwrap();
            for &cpu in &allowed {
                pin_current_thread(cpu).unwrap();
                assert_eq!(allowed_cpus().unwrap(), [cpu]);
                assert_eq!(rustix::thread::sched_getcpu(), cpu);
            }
            confine_current_thread(&allowed).unwrap();
            assert_eq!(allowed_cpus().unwrap(), allowed);
        });
    }

    #[test]
    fn ids_over_the_mask_are_refused_before_core_affinity_sees_them() {
        on_a_thread(|| {
            for cpu in [CPU_IDS_MAX, CPU_IDS_MAX + 1, usize::MAX] {
                let error = pin_current_thread(cpu).unwrap_err();
                assert!(matches!(error, TopologyError::CpuIdTooLarge { cpu: told } if told == cpu));
                assert!(error.to_string().contains("0-1023"), "{error}");
                assert!(confine_current_thread(&[0, cpu]).is_err());
            }
        });
    }

    #[test]
    fn a_cpu_that_is_not_there_is_an_error_that_names_the_mask() {
        on_a_thread(|| {
            let before = allowed_cpus().unwrap();
            let missing = CPU_IDS_MAX - 1;
            assert!(
                !before.contains(&missing),
                "this machine has every CPU there can be"
            );
            let error = pin_current_thread(missing).unwrap_err();
            assert!(matches!(&error, TopologyError::NotPinned { mask, .. } if *mask == before));
            // One CPU of two exists: the kernel takes the rest, we do not.
            let error = confine_current_thread(&[before[0], missing]).unwrap_err();
            assert!(matches!(error, TopologyError::NotPinned { .. }));
            assert!(matches!(
                confine_current_thread(&[]),
                Err(TopologyError::NoCpus)
            ));
        });
    }
}
