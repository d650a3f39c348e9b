//! Options of the static handler, and why they may be refused at start.

use std::path::PathBuf;

use rustix::io::Errno;

use super::beneath::Root;
use crate::static_path::{CacheRules, InvalidCacheRule};

/// What is served, and with how much memory. Each shard has its own cache and
/// its own count of open files, so multiply by the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticOptions {
    /// The directory that is served.
    pub root: PathBuf,
    /// File served for a directory; `None` makes directories 404.
    pub index: Option<String>,
    /// Serve names that begin with a dot; without it only `.well-known` is.
    pub hidden: bool,
    /// Answer with `file.br`, `file.zst` or `file.gz` to clients that accept
    /// it. Left out is what is older than its original, what is empty, and, unless
    /// it is just as old, what was there before its original was.
    pub precompressed: bool,
    /// Memory for cached files and lookups, bytes per shard.
    pub cache_bytes: u64,
    /// Files up to this long are kept in memory, bytes; longer ones are read
    /// from disk for each response.
    pub cached_file_bytes_max: u64,
    /// What was looked up is trusted for this long, milliseconds: the longest
    /// a change on disk can go unnoticed. Costs at most one `stat` of each
    /// file per this time and shard, on the blocking pool, while it is asked
    /// for.
    pub revalidate_ms: u64,
    /// Files being streamed at once per shard, two descriptors each. Over it:
    /// 503 with Retry-After.
    pub open_files_max: usize,
    /// Pattern ([`crate::static_path::Glob`]) and `Cache-Control`; the first
    /// that matches counts. A path that none matches gets no `Cache-Control`.
    /// Default: a year for names with a fingerprint, which another content has
    /// another of; of all others caches ask whether they are still current, so
    /// that no page runs with the script of the release before.
    pub cache_control: Vec<(String, String)>,
    /// Give the files that are there at start names with a fingerprint, which
    /// [`Ctx::asset_url`](crate::Ctx::asset_url) gives out and caches keep for a
    /// year. Costs reading them at start, 64 MiB on each shard at most.
    pub fingerprints: bool,
    /// Where a CDN has what is below `mount`, `https://cdn.example.org`, or
    /// nothing. Links of pages to files with a fingerprint then lead there.
    pub cdn_url: String,
    /// Where the files are routed, for links to them.
    pub mount: String,
}

impl Default for StaticOptions {
    fn default() -> Self {
        let rule = |pattern: &str, value: &str| (pattern.to_owned(), value.to_owned());
        Self {
            root: PathBuf::from("./static"),
            index: Some("index.html".to_owned()),
            hidden: false,
            precompressed: true,
            cache_bytes: 16 * 1024 * 1024,
            cached_file_bytes_max: 1024 * 1024,
            revalidate_ms: 1_000,
            open_files_max: 512,
            cache_control: vec![
                rule("*.{hash}.*", "public, max-age=31536000, immutable"),
                rule("*-{hash}.*", "public, max-age=31536000, immutable"),
                rule("*.html", "no-cache"),
                rule("*", "public, no-cache"),
            ],
            fingerprints: true,
            cdn_url: String::new(),
            mount: "/static/".to_owned(),
        }
    }
}

impl StaticOptions {
    /// Checks what can be checked before the first request.
    pub(super) fn check(&self) -> Result<(Root, CacheRules), StaticError> {
        let rules = CacheRules::new(self.cache_control.iter().map(|(p, v)| (p, v)))
            .map_err(StaticError::CacheRule)?;
        let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
        if let Some(index) = self.index.as_deref().filter(|name| !is_name(name)) {
            return Err(StaticError::Index(index.to_owned()));
        }
        if self.cached_file_bytes_max > self.cache_bytes / CACHED_FILES_MIN {
            return Err(StaticError::CacheSize {
                cache_bytes: self.cache_bytes,
                cached_file_bytes_max: self.cached_file_bytes_max,
            });
        }
        if !self.cdn_url.is_empty() && !is_origin(&self.cdn_url) {
            return Err(StaticError::CdnUrl(self.cdn_url.clone()));
        }
        if !self.mount.starts_with('/') || !self.mount.ends_with('/') {
            return Err(StaticError::Mount(self.mount.clone()));
        }
        let root = std::path::absolute(&self.root).unwrap_or_else(|_| self.root.clone());
        let root = Root::new(root);
        match root.probe() {
            Ok(()) => Ok((root, rules)),
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => Err(StaticError::NoOpenBeneath),
            Err(errno) => Err(StaticError::Root {
                path: root.path().to_owned(),
                source: errno.into(),
            }),
        }
    }
}

/// Scheme and authority, with a path at most: links are made by joining.
fn is_origin(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]/%".contains(&byte);
    rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            && rest.bytes().all(is_plain)
    })
}

/// One file may take this part of the cache at most.
const CACHED_FILES_MIN: u64 = 4;

/// Why static files cannot be served; `Display` names the cure.
#[derive(Debug)]
pub enum StaticError {
    /// The root cannot be opened.
    Root {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The kernel cannot confine lookups to a directory.
    NoOpenBeneath,
    /// A caching rule cannot be used.
    CacheRule(InvalidCacheRule),
    /// The index is not a file name.
    Index(String),
    /// The URL of the CDN is none that links could begin with.
    CdnUrl(String),
    /// The mount point is no path with a slash at both ends.
    Mount(String),
    /// One file could fill most of the cache.
    CacheSize {
        /// The cache's size.
        cache_bytes: u64,
        /// The longest file to be kept in it.
        cached_file_bytes_max: u64,
    },
}

impl std::fmt::Display for StaticError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root { path, source } => write!(
                f,
                "the static directory {} cannot be opened ({source}): create it, or give another \
                 with --static DIR",
                path.display()
            ),
            Self::NoOpenBeneath => f.write_str(
                "static files need openat2 with RESOLVE_BENEATH, to refuse symbolic links out of \
                 the root: run Linux 5.6 or newer, and allow openat2 in the container's seccomp \
                 profile",
            ),
            Self::CacheRule(error) => error.fmt(f),
            Self::Index(name) => write!(f, "`{name}` is not a file name to serve for a directory"),
            Self::CdnUrl(url) => write!(
                f,
                "`{url}` is not where a CDN could be: give scheme and host, as \
                 https://cdn.example.org, without a query"
            ),
            Self::Mount(path) => {
                write!(f, "`{path}` is no mount point: give a path as `/static/`")
            }
            Self::CacheSize {
                cache_bytes,
                cached_file_bytes_max,
            } => write!(
                f,
                "cached_file_bytes_max = {cached_file_bytes_max} is more than a quarter of \
                 cache_bytes = {cache_bytes}: lower the one or raise the other"
            ),
        }
    }
}

impl std::error::Error for StaticError {}
