//! The bridge to tokio in a build without the feature `bridge`: no runtime, and
//! no way to run anything on one.

use std::io;
use std::time::Duration;

use corelane_proto::metrics::BridgeCounters;

/// A handle to nothing.
#[derive(Debug, Clone)]
pub struct Bridge(());

impl Bridge {
    /// Starts no thread.
    ///
    /// # Errors
    /// None.
    pub fn start() -> io::Result<Self> {
        Ok(Self(()))
    }

    /// The handle of one shard.
    pub fn for_shard(&self) -> Self {
        self.clone()
    }

    /// Aborts what the shard of this handle waited for: nothing.
    pub fn abort_all(&self) {}

    /// What it has done so far.
    pub fn counters(&self) -> BridgeCounters {
        BridgeCounters::default()
    }

    /// Ends nothing.
    pub fn close(&self, _: Duration) {}
}
