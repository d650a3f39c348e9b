//! Whether io_uring does here what this engine asks of it, found out before any
//! shard depends on it.
//!
//! A filter may let a ring be made and refuse to enter it, and a kernel may lack
//! operations: both would show when shards already serve.

use std::io;

use io_uring::{IoUring, Probe, opcode};

use super::BuildError;

/// Makes a small ring, enters it, and asks it for every operation that a shard
/// uses. On a thread that may end: a ring belongs to the one that made it.
///
/// # Errors
/// [`BuildError::IoUringRefused`] with what is missing.
pub fn check_io_uring() -> Result<(), BuildError> {
    let ring = IoUring::new(PROBE_ENTRIES).map_err(BuildError::of_ring)?;
    ring.submit().map_err(|error| {
        let what = format!("a ring can be made and not entered: {error}");
        BuildError::IoUringRefused(io::Error::new(error.kind(), what))
    })?;
    let mut probe = Probe::new();
    // Only asked, never needed otherwise: who may not ask has to try.
    if ring.submitter().register_probe(&mut probe).is_err() {
        return Ok(());
    }
    let missing: Vec<_> = OPERATIONS
        .iter()
        .filter(|(_, code)| !probe.is_supported(*code))
        .map(|(name, _)| *name)
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => {
            let what = format!("its io_uring lacks {}", missing.join(", "));
            let error = io::Error::new(io::ErrorKind::Unsupported, what);
            Err(BuildError::IoUringRefused(error))
        }
    }
}

const PROBE_ENTRIES: u32 = 8;

const OPERATIONS: [(&str, u8); 11] = [
    ("accept", opcode::Accept::CODE),
    ("async cancel", opcode::AsyncCancel::CODE),
    ("close", opcode::Close::CODE),
    ("connect", opcode::Connect::CODE),
    ("fsync", opcode::Fsync::CODE),
    ("poll add", opcode::PollAdd::CODE),
    ("read", opcode::Read::CODE),
    ("recv", opcode::Recv::CODE),
    ("send", opcode::Send::CODE),
    ("timeout", opcode::Timeout::CODE),
    ("write", opcode::Write::CODE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_io_uring_has_all_of_it() {
        match check_io_uring() {
            Ok(()) => {}
            // Where it is refused, the reason is said.
            Err(error) => assert!(error.to_string().contains("io_uring"), "{error}"),
        }
    }
}
