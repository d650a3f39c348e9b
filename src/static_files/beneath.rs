//! Files beneath a root, and nothing else: the only system calls of the static
//! handler. Everything here may block and runs on the blocking pool.
//!
//! The kernel resolves each path (`openat2`, `RESOLVE_BENEATH`), so no
//! symbolic link, however it changes between two calls, leads out of the root.
//! An absolute link is refused even where it would lead back in. What is not a
//! regular file is never opened, only looked at, so no FIFO or device blocks a
//! thread or notices.

use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::limits::DATE_SETTLES_MS;

/// A directory that files are served from. Opened anew for each lookup, so a
/// root that is a symbolic link may be switched, or the directory rebuilt.
#[derive(Debug, Clone)]
pub(super) struct Root(PathBuf);

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File(Fingerprint),
    Directory,
    /// Nothing, or nothing that is served: a link out, a FIFO, a device.
    Missing,
    /// It may not be looked at by this user.
    Forbidden,
}

/// What tells one state of a file from another. Equal fingerprints are equal
/// content, except for a change within [`RACY_NS`] of the one before it and for
/// writes that hide themselves by setting the clock back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    pub(super) length: u64,
    modified_s: i64,
    modified_ns: i64,
    changed_s: i64,
    changed_ns: i64,
}

/// A regular file open for reading.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: File,
    pub(super) fingerprint: Fingerprint,
}

/// What [`OpenFile::read_whole`] read.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    /// Whether the file rested while it was read.
    pub(super) is_one_state: bool,
}

/// File times come from a clock that ticks each 1 to 10 ms: a second change
/// within one tick of the first can leave every time as it was. So a file that
/// changed less than two slow ticks ago is not trusted to show its next change.
pub(super) const RACY_NS: i128 = 20_000_000;

const NS_PER_SECOND: i128 = 1_000_000_000;

impl Root {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Tells it from other roots, the same for every shard.
    pub(super) fn hash(&self) -> u64 {
        let path = self.0.components().as_path();
        xxhash_rust::xxh3::xxh3_64(path.as_os_str().as_encoded_bytes())
    }

    fn open(&self) -> Result<OwnedFd, Errno> {
        rustix::fs::open(
            &self.0,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
    }

    /// Opens the root and asks the kernel to resolve beneath it.
    pub(super) fn probe(&self) -> Result<(), Errno> {
        open_beneath(&self.open()?, ".", OFlags::PATH).map(drop)
    }

    /// What stands at `relative`.
    pub(super) fn look(&self, relative: &str) -> io::Result<Kind> {
        let looked = self
            .open()
            .and_then(|root| open_beneath(&root, relative, OFlags::PATH));
        match looked.and_then(rustix::fs::fstat) {
            Ok(stat) => Ok(Kind::of(&stat)),
            Err(errno) => Kind::of_errno(errno),
        }
    }

    /// Opens `relative` if it is a regular file.
    ///
    /// # Errors
    /// The kind that stands there instead, or why it cannot be known.
    pub(super) fn open_file(&self, relative: &str) -> io::Result<Result<OpenFile, Kind>> {
        match self.look(relative)? {
            Kind::File(_) => {}
            other => return Ok(Err(other)),
        }
        // NONBLOCK is for what may have taken its place since the look.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = self.open().and_then(|root| {
            let file = open_beneath(&root, relative, flags)?;
            let stat = rustix::fs::fstat(&file)?;
            Ok((file, stat))
        });
        let (file, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => return Kind::of_errno(errno).map(Err),
        };
        let Kind::File(fingerprint) = Kind::of(&stat) else {
            return Ok(Err(Kind::Missing));
        };
        // A ring read of a nonblocking file may fail instead of waiting.
        let flags = rustix::fs::fcntl_getfl(&file)?;
        rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
        Ok(Ok(OpenFile {
            file: file.into(),
            fingerprint,
        }))
    }
}

fn open_beneath(root: &OwnedFd, relative: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut attempts = 0;
    loop {
        match rustix::fs::openat2(
            root,
            relative,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        ) {
            // The kernel could not be sure while something was being renamed.
            Err(Errno::AGAIN | Errno::INTR) if attempts < OPEN_ATTEMPTS_MAX => attempts += 1,
            result => return result,
        }
    }
}

const OPEN_ATTEMPTS_MAX: usize = 16;

impl Kind {
    fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Self::File(Fingerprint::of(stat)),
            FileType::Directory => Self::Directory,
            _ => Self::Missing,
        }
    }

    fn of_errno(errno: Errno) -> io::Result<Self> {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NAMETOOLONG => Ok(Self::Missing),
            // Links that loop or lead out.
            Errno::LOOP | Errno::XDEV => Ok(Self::Missing),
            // What a device or socket answers that took a file's place.
            Errno::NXIO | Errno::NODEV => Ok(Self::Missing),
            Errno::ACCESS | Errno::PERM => Ok(Self::Forbidden),
            other => Err(other.into()),
        }
    }

    /// The fingerprint, if it is a file.
    pub(super) fn file(self) -> Option<Fingerprint> {
        match self {
            Self::File(fingerprint) => Some(fingerprint),
            _ => None,
        }
    }
}

impl Fingerprint {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            length: stat.st_size.max(0) as u64,
            modified_s: stat.st_mtime,
            modified_ns: stat.st_mtime_nsec as i64,
            changed_s: stat.st_ctime,
            changed_ns: stat.st_ctime_nsec as i64,
        }
    }

    /// How long ago it last changed in any way, at `now_ns` of Unix time;
    /// negative when the clock has been set back since.
    pub(super) fn age_ns(&self, now_ns: i128) -> i128 {
        now_ns - self.changed_ns()
    }

    /// When it was last written, milliseconds of Unix time, if that is not after
    /// `now_ns`; else when it was last touched in any way: a time of writing in
    /// the future was set by hand, and is the same for whoever looks. `None`
    /// when the clock has been set back behind both.
    pub(super) fn written_ms(&self, now_ns: i128) -> Option<i64> {
        let times = [self.modified_ns(), self.changed_ns()];
        let past = times.into_iter().find(|time| *time <= now_ns)?;
        i64::try_from(past.div_euclid(1_000_000)).ok()
    }

    /// When another date than now is to be given out for the same state: a time
    /// in the future comes, or the second of one is over.
    pub(super) fn date_due_ns(&self, now_ns: i128) -> Option<i128> {
        let settled_ns = |time: i128| {
            let settles_ns = i128::from(DATE_SETTLES_MS) * 1_000_000;
            (time.div_euclid(NS_PER_SECOND) + 1) * NS_PER_SECOND + settles_ns
        };
        let times = [self.modified_ns(), self.changed_ns()];
        let dues = times.into_iter().flat_map(|time| [time, settled_ns(time)]);
        dues.filter(|due| *due > now_ns).min()
    }

    fn modified_ns(&self) -> i128 {
        i128::from(self.modified_s) * NS_PER_SECOND + i128::from(self.modified_ns)
    }

    fn changed_ns(&self) -> i128 {
        i128::from(self.changed_s) * NS_PER_SECOND + i128::from(self.changed_ns)
    }

    /// Whether this can be `original` compressed: as old to the nanosecond, as
    /// `gzip -k` leaves it, or written later. But an original that was put in
    /// its place after this, however old it says it is, is not what this was
    /// made of.
    pub(super) fn is_sibling_of(&self, original: &Self) -> bool {
        let is_current = match self.modified_ns().cmp(&original.modified_ns()) {
            Ordering::Less => false,
            Ordering::Equal => true,
            Ordering::Greater => self.changed_ns() >= original.changed_ns(),
        };
        // No coding makes nothing of anything, or even of nothing.
        is_current && self.length > 0
    }

    /// Whether it came to be where it is with `original` or later.
    pub(super) fn is_put_after(&self, original: &Self) -> bool {
        self.changed_ns() >= original.changed_ns()
    }

    /// Whether both are the same content of the same file. The change time is
    /// left out: being renamed over or unlinked sets it.
    fn is_same_content(&self, other: &Self) -> bool {
        (
            self.device,
            self.inode,
            self.length,
            self.modified_s,
            self.modified_ns,
        ) == (
            other.device,
            other.inode,
            other.length,
            other.modified_s,
            other.modified_ns,
        )
    }

    /// Bytes to derive a tag from. Without the device number, which need not
    /// survive a reboot.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let times = [
            self.modified_s,
            self.modified_ns,
            self.changed_s,
            self.changed_ns,
        ];
        let numbers = [self.inode, self.length].map(u64::to_le_bytes);
        [
            numbers.as_flattened(),
            times.map(i64::to_le_bytes).as_flattened(),
        ]
        .concat()
    }
}

impl OpenFile {
    /// The whole content, read so that it is one state of the file: its
    /// fingerprint is the same before and after, and is updated. After a few
    /// attempts on a file that never rests, what was read last. `None` when it
    /// has grown longer than `bytes_max`.
    pub(super) fn read_whole(&mut self, bytes_max: u64) -> io::Result<Option<Whole>> {
        let mut attempts_left = READ_ATTEMPTS_MAX;
        loop {
            let before = self.fingerprint;
            if before.length > bytes_max {
                return Ok(None);
            }
            let bytes = read_up_to(&self.file, before.length)?;
            self.fingerprint = Fingerprint::of(&rustix::fs::fstat(&self.file)?);
            let is_one_state =
                before.is_same_content(&self.fingerprint) && bytes.len() as u64 == before.length;
            attempts_left -= 1;
            if is_one_state || attempts_left == 0 {
                return Ok(Some(Whole {
                    bytes,
                    is_one_state,
                }));
            }
        }
    }
}

/// What became of an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    Unchanged,
    /// Longer now. Whether what was there before still is, it does not say.
    Grown,
    Changed,
}

/// What became of the open file since it was what `fingerprint` says. The kernel
/// sets the time of what is appended before the length: a new time alone is
/// looked at once more.
pub(super) fn look_since(file: &File, fingerprint: &Fingerprint) -> Since {
    let look = || match rustix::fs::fstat(file).map(|stat| Fingerprint::of(&stat)) {
        Ok(now) if now.is_same_content(fingerprint) => Since::Unchanged,
        Ok(now) if now.length > fingerprint.length => Since::Grown,
        _ => Since::Changed,
    };
    match look() {
        Since::Changed => {
            std::thread::sleep(APPENDING);
            look()
        }
        since => since,
    }
}

/// Between a new time and a new length of a file that is appended to.
const APPENDING: Duration = Duration::from_millis(2);

/// Hands `length` bytes from `offset` on to `take`, piece by piece; whether all
/// were there.
pub(super) fn read_pieces(
    file: &File,
    offset: u64,
    length: u64,
    mut take: impl FnMut(&[u8]),
) -> io::Result<bool> {
    let mut buffer = vec![0; length.min(PIECE_BYTES) as usize];
    let mut done = 0;
    while done < length {
        let wanted = (length - done).min(PIECE_BYTES) as usize;
        match file.read_at(&mut buffer[..wanted], offset + done) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                take(&buffer[..count]);
                done += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Of one call of the kernel.
const PIECE_BYTES: u64 = 256 * 1024;

fn read_up_to(file: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut content = vec![0; length as usize];
    let mut filled = 0;
    while filled < content.len() {
        match file.read_at(&mut content[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(filled);
    Ok(content)
}

const READ_ATTEMPTS_MAX: usize = 3;
