//! Why work on the tokio bridge came to nothing.

use std::fmt;

use corelane_proto::Error;
use corelane_proto::limits::{BRIDGE_RETRY_AFTER_S, BRIDGE_TASKS_MAX};

/// Why [`Bridge::run`](super::Bridge::run) has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BridgeFault {
    /// [`BRIDGE_TASKS_MAX`] tasks are in flight: it was not started.
    Full,
    /// It panicked, with this text.
    Panicked(String),
    /// The server has ended, and the runtime with it.
    Closed,
}

impl fmt::Display for BridgeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(
                f,
                "{BRIDGE_TASKS_MAX} tasks are on the tokio bridge already"
            ),
            Self::Panicked(text) => write!(f, "a task on the tokio bridge panicked: {text}"),
            Self::Closed => f.write_str("the tokio bridge has ended with the server"),
        }
    }
}

/// 503 with `Retry-After` when it is full, which says that nothing was done;
/// else 500, the text for the log only.
impl From<BridgeFault> for Error {
    fn from(fault: BridgeFault) -> Self {
        match fault {
            BridgeFault::Full => {
                Error::unavailable("the server is busy; try again", BRIDGE_RETRY_AFTER_S)
                    .with_log(fault)
                    .nothing_done()
            }
            BridgeFault::Panicked(_) | BridgeFault::Closed => Error::internal(fault),
        }
    }
}
