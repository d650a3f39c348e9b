//! Compression as an operator gives it.

use corelane::internals::compression::MediaTypes;
use corelane::internals::limits::COMPRESS_BODY_BYTES_MIN;
use corelane::middleware::{Compression, InvalidCompression};

/// Whether answers are compressed, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressionOptions {
    /// Default off: who has a proxy in front compresses there, and a shard's
    /// time is for answers.
    pub enabled: bool,
    /// See [`Compression::level`].
    pub level: u8,
    /// See [`Compression::min_bytes`].
    pub min_bytes: usize,
    /// See [`Compression::types`].
    pub types: Vec<String>,
}

impl Default for CompressionOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            level: Compression::LEVEL_DEFAULT,
            min_bytes: COMPRESS_BODY_BYTES_MIN,
            types: MediaTypes::DEFAULT
                .iter()
                .map(|text| (*text).to_owned())
                .collect(),
        }
    }
}

impl CompressionOptions {
    /// The middleware, enabled or not.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn middleware(&self) -> Result<Compression, InvalidCompression> {
        Compression::new()
            .level(self.level)?
            .min_bytes(self.min_bytes)
            .types(&self.types)
    }
}
