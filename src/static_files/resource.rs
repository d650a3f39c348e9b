//! What one URL stands for on disk: a file in all its codings, a directory to
//! redirect to, or nothing. Looked up on the blocking pool.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderValue;

use super::assets::{self, Assets};
use super::beneath::{Fingerprint, Kind, OpenFile, RACY_NS, Root};
use crate::PreparedResponse;
use crate::engine::SealedBytes;
use crate::limits::WRITE_COPY_BYTES_MAX;
use crate::semantics::{Coding, CodingSet, ETag, LastModified, Validators};
use crate::static_path::{CacheRules, content_type};

/// The answer to a lookup.
#[derive(Debug)]
pub(super) enum Found {
    File(Box<Resource>),
    /// A directory with an index, asked for without its slash.
    DirectoryWithoutSlash,
    Missing,
    Forbidden,
}

/// A file and its precompressed siblings.
#[derive(Debug)]
pub(super) struct Resource {
    /// Path of the original under the root.
    pub(super) relative: String,
    pub(super) content_type: HeaderValue,
    pub(super) cache_control: Option<HeaderValue>,
    /// By `Coding as usize`; identity is always there.
    pub(super) representations: [Option<Representation>; 4],
    /// The 200 with the whole of a representation whose bytes are kept,
    /// encoded; until the shard takes it.
    pub(super) prepared: [Option<PreparedResponse>; 4],
    seen: Seen,
    settling: Settling,
    /// When one of its dates is to be looked at again.
    date_due_ns: Option<i128>,
}

/// Whether the next change of a resource is sure to show in its fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settling {
    Settled,
    /// It will be when [`RACY_NS`] have passed.
    Soon,
    /// Nobody knows when: the clock was set back, or it is written all the
    /// time.
    Never,
}

/// What stood at the paths of a resource, by `Coding as usize`, used or not.
type Seen = [Option<Fingerprint>; 4];

/// What must be seen again for a resource to be as it is known, and until when
/// that is enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    seen: Seen,
    date_due_ns: Option<i128>,
}

/// The bytes of a file in one coding.
#[derive(Debug)]
pub(super) struct Representation {
    /// Strong, for the bytes of small files are hashed and long ones are told
    /// by inode, length and times, which together change with every write; weak
    /// only while a long file has changed too recently for its times to tell.
    pub(super) etag: ETag,
    pub(super) last_modified: Option<(LastModified, HeaderValue)>,
    pub(super) length: u64,
    pub(super) fingerprint: Fingerprint,
    /// The bytes, if they are kept.
    pub(super) content: Option<Bytes>,
    /// The same in pages that are sent without a copy, if they are many.
    pub(super) sealed: Option<SealedBytes>,
}

/// What a lookup needs to know; shared by all lookups of a shard.
#[derive(Debug)]
pub(super) struct Finder {
    pub(super) root: Root,
    pub(super) rules: CacheRules,
    pub(super) index: Option<String>,
    pub(super) precompressed: bool,
    pub(super) assets: Arc<Assets>,
    /// Answer names with a fingerprint.
    pub(super) fingerprints: bool,
    pub(super) cached_file_bytes_max: u64,
}

/// The result of looking again.
#[derive(Debug)]
pub(super) enum Lookup {
    /// As it was known.
    Unchanged,
    Found(Found),
}

impl Finder {
    /// Looks up a path. When it still is what was `known`, nothing is read.
    pub(super) fn look_up(&self, path: &str, known: Option<Known>) -> io::Result<Lookup> {
        let (directory, is_directory) = match path.strip_suffix('/') {
            Some(directory) => (directory, true),
            None => (path, path.is_empty()),
        };
        let relative = match (is_directory, &self.index) {
            (false, _) => path.to_owned(),
            (true, None) => return Ok(Lookup::Found(Found::Missing)),
            (true, Some(index)) => join(directory, index),
        };
        let found = match self.root.look(&relative)? {
            Kind::File(original) => {
                let seen = self.look_at_siblings(&relative, original);
                if known.is_some_and(|known| known.still_holds(&seen)) {
                    return Ok(Lookup::Unchanged);
                }
                self.load(relative, seen)?
            }
            Kind::Directory if !is_directory => match self.look_at_index(&relative)? {
                Kind::File(_) => Found::DirectoryWithoutSlash,
                Kind::Forbidden => Found::Forbidden,
                Kind::Directory | Kind::Missing => Found::Missing,
            },
            Kind::Forbidden => Found::Forbidden,
            Kind::Missing if self.fingerprints && !is_directory => {
                return self.look_up_plain(&relative, known);
            }
            Kind::Directory | Kind::Missing => Found::Missing,
        };
        Ok(Lookup::Found(found))
    }

    /// What a name with a fingerprint is of, if it is one: kept for a year when
    /// it is the fingerprint of what is there now.
    fn look_up_plain(&self, path: &str, known: Option<Known>) -> io::Result<Lookup> {
        let Some((plain, fingerprint)) = assets::plain_name(path) else {
            return Ok(Lookup::Found(Found::Missing));
        };
        let Kind::File(original) = self.root.look(&plain)? else {
            return Ok(Lookup::Found(Found::Missing));
        };
        let seen = self.look_at_siblings(&plain, original);
        if known.is_some_and(|known| known.still_holds(&seen)) {
            return Ok(Lookup::Unchanged);
        }
        // One that was there before its file may be of the content before, which
        // under this name nobody would ask about for a year.
        let mut siblings = seen.iter().flatten();
        let siblings_are_later = siblings.all(|sibling| sibling.is_put_after(&original));
        let mut found = self.load(plain, seen)?;
        if let Found::File(resource) = &mut found {
            let content = resource.representation(Coding::Identity);
            let kept = content.filter(|content| content.content.is_some());
            let is_of_it = kept.is_some_and(|r| assets::fingerprint_in(&r.etag) == fingerprint)
                && siblings_are_later;
            resource.cache_control = Some(match is_of_it {
                true => IMMUTABLE,
                false => REVALIDATED,
            });
        }
        Ok(Lookup::Found(found))
    }

    /// A directory that may not be searched is told alike with its slash and
    /// without.
    fn look_at_index(&self, directory: &str) -> io::Result<Kind> {
        match &self.index {
            Some(index) => self.root.look(&join(directory, index)),
            None => Ok(Kind::Missing),
        }
    }

    /// A sibling that cannot be looked at is as good as none.
    fn look_at_siblings(&self, relative: &str, original: Fingerprint) -> Seen {
        let mut seen = [None; 4];
        seen[Coding::Identity as usize] = Some(original);
        if self.precompressed && !is_compressed(relative) {
            for (coding, suffix) in SIBLINGS {
                let sibling = self.root.look(&format!("{relative}{suffix}"));
                seen[coding as usize] = sibling.ok().and_then(Kind::file);
            }
        }
        seen
    }

    fn load(&self, relative: String, seen: Seen) -> io::Result<Found> {
        let now_ns = unix_ns();
        let original = match self.root.open_file(&relative)? {
            Ok(file) => file,
            Err(Kind::Forbidden) => return Ok(Found::Forbidden),
            Err(_) => return Ok(Found::Missing),
        };
        let youngest_ns = seen.iter().flatten().map(|f| f.age_ns(now_ns)).min();
        let mut settling = match youngest_ns {
            Some(..0) => Settling::Never,
            Some(0..RACY_NS) => Settling::Soon,
            Some(RACY_NS..) | None => Settling::Settled,
        };
        let mut representations = [const { None }; 4];
        let mut original = self.represent(original, now_ns, &mut settling)?;
        let original_seen = original.fingerprint;
        let is_relinked = self.relink(&mut original, &relative);
        representations[Coding::Identity as usize] = Some(original);
        // Those of a page with other links have the links that it had.
        let siblings = SIBLINGS.into_iter().filter(|_| !is_relinked);
        for (coding, suffix) in siblings {
            let is_current = |sibling: &Fingerprint| sibling.is_sibling_of(&original_seen);
            if !seen[coding as usize].as_ref().is_some_and(is_current) {
                continue;
            }
            let sibling = self.root.open_file(&format!("{relative}{suffix}"));
            representations[coding as usize] = match sibling {
                Ok(Ok(file)) if is_current(&file.fingerprint) => {
                    self.represent(file, now_ns, &mut settling).ok()
                }
                _ => None,
            };
        }
        Ok(Found::File(Box::new(Resource {
            content_type: content_type(&relative),
            cache_control: self.rules.for_path(&relative).cloned(),
            relative,
            prepared: [const { None }; 4],
            date_due_ns: date_due_ns(&representations, now_ns),
            representations,
            seen,
            settling,
        })))
    }

    fn represent(
        &self,
        mut file: OpenFile,
        now_ns: i128,
        settling: &mut Settling,
    ) -> io::Result<Representation> {
        let content = file.read_whole(self.cached_file_bytes_max)?.map(|whole| {
            if !whole.is_one_state {
                *settling = Settling::Never;
            }
            whole.bytes
        });
        let mut representation = Representation::of_file(file.fingerprint, now_ns);
        if let Some(content) = content {
            representation.keep(content);
        }
        Ok(representation)
    }

    /// Has the links of a page lead to the CDN; whether any do.
    fn relink(&self, page: &mut Representation, path: &str) -> bool {
        let content = page.content.as_ref().filter(|_| assets::is_page(path));
        let relinked = content.and_then(|content| self.assets.relink(content, path));
        let is_relinked = relinked.is_some();
        if let Some(content) = relinked {
            page.keep(content);
            // The date of the file says nothing of the names in its links.
            page.last_modified = None;
        }
        is_relinked
    }
}

impl Found {
    /// A hash that is the same on every shard, of what makes it another for
    /// whoever asks.
    pub(super) fn state(&self) -> u64 {
        match self {
            Self::Missing => 1,
            Self::Forbidden => 2,
            Self::DirectoryWithoutSlash => 3,
            Self::File(resource) => resource.state(),
        }
    }
}

impl Resource {
    fn state(&self) -> u64 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for (seen, representation) in self.seen.iter().zip(&self.representations) {
            hash.update(&seen.map(Fingerprint::to_bytes).unwrap_or_default());
            let etag = representation.as_ref().map(|r| r.etag.opaque());
            hash.update(etag.unwrap_or_default());
        }
        hash.digest()
    }

    /// The encoded answers, by `Coding as usize`. Leaves none.
    pub(super) fn take_prepared(&mut self) -> [Option<PreparedResponse>; 4] {
        std::mem::take(&mut self.prepared)
    }

    /// The codings it exists in.
    pub(super) fn codings(&self) -> CodingSet {
        let all = Coding::BY_PREFERENCE.into_iter();
        let there = all.filter(|c| self.representations[*c as usize].is_some());
        there.fold(CodingSet::EMPTY, CodingSet::with)
    }

    /// Whether the answer depends on `Accept-Encoding`.
    pub(super) fn varies(&self) -> bool {
        self.representations.iter().flatten().count() > 1
    }

    pub(super) fn representation(&self, coding: Coding) -> Option<&Representation> {
        self.representations[coding as usize].as_ref()
    }

    /// What must still be seen for it to be unchanged; `None` when that would
    /// not be enough and it must be read again.
    pub(super) fn known(&self) -> Option<Known> {
        (self.settling == Settling::Settled).then_some(Known {
            seen: self.seen,
            date_due_ns: self.date_due_ns,
        })
    }

    pub(super) fn settling(&self) -> Settling {
        self.settling
    }

    /// Bytes of content kept in memory.
    pub(super) fn content_bytes(&self) -> u64 {
        let contents = self
            .representations
            .iter()
            .flatten()
            .filter_map(|r| r.content.as_ref());
        contents.map(|content| content.len() as u64).sum()
    }
}

impl Known {
    fn still_holds(&self, seen: &Seen) -> bool {
        self.seen == *seen && self.date_due_ns.is_none_or(|due_ns| unix_ns() < due_ns)
    }
}

impl Representation {
    /// Of a file that is sent as it was opened right now.
    pub(super) fn of_open(fingerprint: Fingerprint) -> Self {
        Self::of_file(fingerprint, unix_ns())
    }

    fn of_file(fingerprint: Fingerprint, now_ns: i128) -> Self {
        Self {
            etag: etag_of_file(&fingerprint, now_ns),
            last_modified: date_of(&fingerprint, now_ns),
            length: fingerprint.length,
            fingerprint,
            content: None,
            sealed: None,
        }
    }

    /// Keeps the content, which then tells it from others.
    fn keep(&mut self, content: Vec<u8>) {
        self.length = content.len() as u64;
        self.etag = ETag::of_bytes(&content);
        // Where no descriptor is left for it, copying it is well enough.
        self.sealed = match content.len() > WRITE_COPY_BYTES_MAX {
            true => SealedBytes::copy_of(&content).ok(),
            false => None,
        };
        self.content = Some(match &self.sealed {
            Some(sealed) => Bytes::from_owner(sealed.clone()),
            None => Bytes::from(content),
        });
    }

    pub(super) fn validators(&self) -> Validators<'_> {
        Validators {
            etag: Some(&self.etag),
            last_modified: self.last_modified.as_ref().map(|(date, _)| *date),
        }
    }
}

/// Path of the file in a coding.
pub(super) fn path_in(relative: &str, coding: Coding) -> String {
    let suffix = SIBLINGS
        .iter()
        .find(|(c, _)| *c == coding)
        .map_or("", |(_, suffix)| suffix);
    format!("{relative}{suffix}")
}

fn date_due_ns(representations: &[Option<Representation>; 4], now_ns: i128) -> Option<i128> {
    let used = representations.iter().flatten();
    used.filter_map(|r| r.fingerprint.date_due_ns(now_ns)).min()
}

/// Files come back with the time that they had.
fn date_of(fingerprint: &Fingerprint, now_ns: i128) -> Option<(LastModified, HeaderValue)> {
    let written_ms = fingerprint.written_ms(now_ns)?;
    let now_ms = i64::try_from(now_ns / NS_PER_MS).ok()?;
    let date = LastModified::of(written_ms, now_ms).may_go_back();
    Some((date, date.header_value()?))
}

fn etag_of_file(fingerprint: &Fingerprint, now_ns: i128) -> ETag {
    let hash = xxhash_rust::xxh3::xxh3_64(&fingerprint.to_bytes());
    let opaque = format!("{:x}-{hash:016x}", fingerprint.length);
    let is_settled = fingerprint.age_ns(now_ns) >= RACY_NS;
    let tag = if is_settled {
        ETag::strong(&opaque)
    } else {
        ETag::weak(&opaque)
    };
    tag.expect("digits make a tag")
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

fn is_compressed(path: &str) -> bool {
    SIBLINGS.iter().any(|(_, suffix)| path.ends_with(suffix))
}

fn unix_ns() -> i128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as i128)
}

const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const REVALIDATED: HeaderValue = HeaderValue::from_static("public, no-cache");

const NS_PER_MS: i128 = 1_000_000;

const SIBLINGS: [(Coding, &str); 3] = [
    (Coding::Brotli, ".br"),
    (Coding::Zstd, ".zst"),
    (Coding::Gzip, ".gz"),
];
