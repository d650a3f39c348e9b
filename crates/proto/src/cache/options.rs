//! Options of one cache.

use std::fmt;

/// How a write is seen by the other shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coherence {
    /// After a write has been acknowledged no shard serves an older value. A
    /// write costs a round trip to the key's home, and one to each shard that
    /// has a copy.
    #[default]
    Strict,
    /// Copies are called in after the write, and nobody waits for it: other
    /// shards may serve the old value for as long as a message takes.
    Lazy,
    /// Every shard for itself: others serve the old value until it expires.
    Off,
}

impl Coherence {
    /// As the configuration says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lazy => "lazy",
            Self::Off => "off",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Strict, Self::Lazy, Self::Off];
        all.into_iter().find(|coherence| coherence.name() == name)
    }
}

/// Options of one cache of an app.
///
/// ```
/// use corelane_proto::cache::{CacheOptions, Coherence};
///
/// let options = CacheOptions::new("users")
///     .ttl_ms(60_000)
///     .negative_ttl_ms(1_000)
///     .bytes_max(256 << 20)
///     .coherence(Coherence::Strict);
/// assert_eq!(options.name, "users");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// By which handlers ask for it.
    pub name: String,
    /// How long a value is fresh, milliseconds (node-cache's stdTTL). Default
    /// 60,000; 0 turns the cache off. With strict coherence it bounds only how long
    /// changes made outside of the server stay unseen.
    pub ttl_ms: u64,
    /// The same for the knowledge that there is no value. Default 5,000.
    pub negative_ttl_ms: u64,
    /// How much longer an expired value is served while one request loads it
    /// anew (stale-while-revalidate, RFC 5861), milliseconds. Default 0.
    pub stale_while_revalidate_ms: u64,
    /// How much longer an expired value is served when loading it anew fails
    /// with a 5xx (stale-if-error, RFC 5861), milliseconds. Default 0.
    pub stale_if_error_ms: u64,
    /// Keys, values and bookkeeping of all shards together, bytes; each shard
    /// is home to an equal part. Default 64 MiB. Copies on other shards share
    /// the value's memory.
    pub bytes_max: u64,
    /// Keys of all shards together (node-cache's maxKeys); over it the least
    /// useful go. Default: only bytes count.
    pub keys_max: Option<u64>,
    /// Default strict.
    pub coherence: Coherence,
    /// Tags that every entry depends on: invalidating one invalidates them
    /// all. Default none.
    pub tags: Vec<String>,
    /// Tags that every write through this cache invalidates. Default none.
    pub invalidates: Vec<String>,
    /// Whether its values may be changed by others, whose changes the app's
    /// `Feed` tells: while it is cut nothing is fresh. Default
    /// false.
    pub fed: bool,
}

impl CacheOptions {
    /// Defaults under a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ttl_ms: 60_000,
            negative_ttl_ms: 5_000,
            stale_while_revalidate_ms: 0,
            stale_if_error_ms: 0,
            bytes_max: 64 << 20,
            keys_max: None,
            coherence: Coherence::Strict,
            tags: Vec::new(),
            invalidates: Vec::new(),
            fed: false,
        }
    }

    /// Sets [`ttl_ms`](Self::ttl_ms).
    #[must_use]
    pub fn ttl_ms(mut self, ms: u64) -> Self {
        self.ttl_ms = ms;
        self
    }

    /// Sets [`negative_ttl_ms`](Self::negative_ttl_ms).
    #[must_use]
    pub fn negative_ttl_ms(mut self, ms: u64) -> Self {
        self.negative_ttl_ms = ms;
        self
    }

    /// Sets [`stale_while_revalidate_ms`](Self::stale_while_revalidate_ms).
    #[must_use]
    pub fn stale_while_revalidate_ms(mut self, ms: u64) -> Self {
        self.stale_while_revalidate_ms = ms;
        self
    }

    /// Sets [`stale_if_error_ms`](Self::stale_if_error_ms).
    #[must_use]
    pub fn stale_if_error_ms(mut self, ms: u64) -> Self {
        self.stale_if_error_ms = ms;
        self
    }

    /// Sets [`bytes_max`](Self::bytes_max).
    #[must_use]
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Sets [`keys_max`](Self::keys_max).
    #[must_use]
    pub fn keys_max(mut self, keys: u64) -> Self {
        self.keys_max = Some(keys);
        self
    }

    /// Sets [`coherence`](Self::coherence).
    #[must_use]
    pub fn coherence(mut self, coherence: Coherence) -> Self {
        self.coherence = coherence;
        self
    }

    /// Sets [`tags`](Self::tags).
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`invalidates`](Self::invalidates).
    #[must_use]
    pub fn invalidates<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.invalidates = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`fed`](Self::fed).
    #[must_use]
    pub fn fed(mut self, fed: bool) -> Self {
        self.fed = fed;
        self
    }

    /// Whether it keeps nothing at all.
    pub fn is_off(&self) -> bool {
        self.ttl_ms == 0
    }

    /// Checks that the options make sense.
    ///
    /// # Errors
    /// [`CacheOptionsError`] says which does not, and what would.
    pub fn check(&self) -> Result<(), CacheOptionsError> {
        let wrong = |why: String| {
            Err(CacheOptionsError {
                name: self.name.clone(),
                why,
            })
        };
        let plain = |text: &str| {
            !text.is_empty()
                && text.len() <= NAME_BYTES_MAX
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        };
        if !plain(&self.name) {
            return wrong(format!(
                "a name has 1 to {NAME_BYTES_MAX} of the characters A-Z a-z 0-9 - _ . :"
            ));
        }
        if self.bytes_max < CACHE_BYTES_MIN {
            return wrong(format!("bytes_max is at least {CACHE_BYTES_MIN}"));
        }
        if self.keys_max == Some(0) {
            return wrong("keys_max is at least 1; leave it out for no bound on keys".to_owned());
        }
        let tags = self.tags.iter().chain(&self.invalidates);
        if let Some(tag) = tags.clone().find(|tag| !plain(tag)) {
            return wrong(format!(
                "the tag {tag:?} has characters other than A-Z a-z 0-9 - _ . :"
            ));
        }
        if self.tags.len() > TAGS_MAX || self.invalidates.len() > TAGS_MAX {
            return wrong(format!("{TAGS_MAX} tags at most"));
        }
        Ok(())
    }
}

/// Length of a cache's or tag's name, bytes.
const NAME_BYTES_MAX: usize = 64;
/// Least [`CacheOptions::bytes_max`]: less keeps next to nothing.
pub const CACHE_BYTES_MIN: u64 = 4 << 10;
/// Tags of one entry: each is looked up for every request.
pub(super) const TAGS_MAX: usize = 8;

/// Options that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptionsError {
    name: String,
    why: String,
}

impl CacheOptionsError {
    /// The name of the cache whose options they are.
    pub fn cache(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for CacheOptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cache {:?}: {}", self.name, self.why)
    }
}

impl std::error::Error for CacheOptionsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_told() {
        CacheOptions::new("users").tags(["a:1"]).check().unwrap();
        for (options, say) in [
            (CacheOptions::new(""), "1 to 64"),
            (CacheOptions::new("a/b"), "A-Z"),
            (CacheOptions::new("a").bytes_max(1), "4096"),
            (CacheOptions::new("a").keys_max(0), "at least 1"),
            (CacheOptions::new("a").tags(["x y"]), "\"x y\""),
            (CacheOptions::new("a").tags(["x"; 9]), "8 tags"),
        ] {
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains(say), "{error}");
        }
    }

    #[test]
    fn coherence_has_names() {
        for coherence in [Coherence::Strict, Coherence::Lazy, Coherence::Off] {
            assert_eq!(Coherence::from_name(coherence.name()), Some(coherence));
        }
        assert_eq!(Coherence::from_name("loose"), None);
    }
}
