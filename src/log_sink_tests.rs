//! The writer against files, a slow disk, a full one, and logrotate.

use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use super::*;

const WAIT: Duration = Duration::from_secs(10);

fn log(shard: &mut ShardLog, target: &str) {
    shard.log(&AccessEntry {
        unix_ms: 0,
        peer: "192.0.2.1",
        client: None,
        method: b"GET",
        target: target.as_bytes(),
        version: "HTTP/1.1",
        status: 200,
        response_bytes: 1,
        is_complete: true,
        cause: None,
        referer: None,
        user_agent: None,
        duration_us: 1,
        request_id: "",
        shard: 0,
    });
}

fn file_sink(path: &Path) -> AccessLogSink {
    AccessLogSink::start(
        LogTarget::File(path.to_owned()),
        LogFormat::Text,
        ErrorLog::start().unwrap(),
    )
    .unwrap()
}

fn targets(text: &str) -> Vec<&str> {
    text.lines()
        .map(|line| line.split(' ').nth(6).unwrap())
        .collect()
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A disk that takes a write only when the test lets it.
struct SlowDisk {
    permits: Mutex<Receiver<()>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for SlowDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let permits = self
            .permits
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        permits.recv_timeout(WAIT).map_err(io::Error::other)?;
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn slow_sink(queue: usize) -> (AccessLogSink, Sender<()>, Arc<Mutex<Vec<u8>>>) {
    let (permit, permits) = channel();
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let disk = SlowDisk {
        permits: Mutex::new(permits),
        written: written.clone(),
    };
    let output = Output::Test(Box::new(disk));
    (
        AccessLogSink::start_on(output, LogFormat::Text, ErrorLog::start().unwrap(), queue)
            .unwrap(),
        permit,
        written,
    )
}

#[test]
fn what_was_flushed_before_close_is_in_the_file_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let sink = file_sink(&path);
    let mut shard = sink.shard_log();
    // Far more than one batch, to have both full and flushed batches.
    let expected: Vec<String> = (0..1_000).map(|n| format!("/{n}")).collect();
    for target in &expected {
        log(&mut shard, target);
    }
    drop(shard);
    assert!(sink.close(WAIT));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(targets(&text), expected);
}

#[test]
fn a_flushed_line_reaches_the_file_without_more_traffic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let sink = file_sink(&path);
    let mut shard = sink.shard_log();
    log(&mut shard, "/only");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "",
        "nothing before the sweep"
    );
    shard.flush();
    wait_for("the line", || {
        targets(&fs::read_to_string(&path).unwrap()) == ["/only"]
    });
}

#[test]
fn after_reopen_lines_go_to_the_new_file_and_the_old_keeps_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rotated) = (
        folder.path().join("access.log"),
        folder.path().join("access.log.1"),
    );
    let sink = file_sink(&path);
    let mut shard = sink.shard_log();
    log(&mut shard, "/before");
    shard.flush();
    wait_for("the first line", || fs::metadata(&path).unwrap().len() > 0);
    fs::rename(&path, &rotated).unwrap();
    sink.reopen();
    // Without another line: logrotate compresses the old file right away.
    wait_for("the new file", || path.exists());
    log(&mut shard, "/after");
    drop(shard);
    assert!(sink.close(WAIT));
    assert_eq!(targets(&fs::read_to_string(&rotated).unwrap()), ["/before"]);
    assert_eq!(targets(&fs::read_to_string(&path).unwrap()), ["/after"]);
}

#[test]
fn when_reopening_fails_the_old_file_is_used_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rotated) = (
        folder.path().join("access.log"),
        folder.path().join("access.log.1"),
    );
    let sink = file_sink(&path);
    let mut shard = sink.shard_log();
    fs::rename(&path, &rotated).unwrap();
    fs::create_dir(&path).unwrap();
    sink.reopen();
    log(&mut shard, "/kept");
    drop(shard);
    assert!(sink.close(WAIT));
    assert_eq!(targets(&fs::read_to_string(&rotated).unwrap()), ["/kept"]);
}

#[test]
fn a_full_queue_drops_whole_batches_counts_their_lines_and_never_blocks() {
    let (sink, permit, written) = slow_sink(1);
    let mut shard = sink.shard_log();
    // One batch with the writer, one in the queue, the rest has no place.
    let lines = 2_000_u64;
    for n in 0..lines {
        log(&mut shard, &format!("/{n}"));
    }
    let dropped = shard.take_lines_dropped();
    assert!(dropped > 0);
    assert_eq!(shard.take_lines_dropped(), 0, "told once");
    shard.flush();
    let waiting = shard.lines;
    for _ in 0..10 {
        permit.send(()).unwrap();
    }
    let in_file = || targets(&String::from_utf8(written.lock().unwrap().clone()).unwrap()).len();
    wait_for("the rest", || in_file() as u64 + dropped + waiting == lines);
    shard.flush();
    assert!(sink.close(WAIT));
    assert_eq!(
        in_file() as u64 + dropped,
        lines,
        "a sweep with room takes what waited"
    );
}

#[test]
fn closing_a_stuck_writer_gives_up_in_time() {
    let (sink, permit, _written) = slow_sink(4);
    let mut shard = sink.shard_log();
    log(&mut shard, "/stuck");
    shard.flush();
    let started = Instant::now();
    assert!(!sink.close(Duration::from_millis(50)));
    assert!(started.elapsed() < WAIT);
    drop(permit);
}

/// A disk that is full after some bytes, for a while.
struct FullDisk {
    room: usize,
    failures: usize,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 && self.failures > 0 {
            self.failures -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = if self.failures > 0 {
            bytes.len().min(self.room)
        } else {
            bytes.len()
        };
        self.room -= taken.min(self.room);
        self.written
            .lock()
            .unwrap()
            .extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn after_a_full_disk_the_next_line_starts_on_its_own() {
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let disk = FullDisk {
        room: 30,
        failures: 2,
        written: written.clone(),
    };
    let output = Output::Test(Box::new(disk));
    let sink =
        AccessLogSink::start_on(output, LogFormat::Text, ErrorLog::start().unwrap(), 8).unwrap();
    let mut shard = sink.shard_log();
    for target in ["/cut-off", "/lost", "/whole"] {
        log(&mut shard, target);
        shard.flush();
    }
    assert!(sink.close(WAIT));
    assert_eq!(shard.take_lines_failed(), 2);
    assert_eq!(
        (shard.take_lines_failed(), shard.take_lines_dropped()),
        (0, 0)
    );
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0].len(), 30);
    assert!(lines[1].contains("/whole"), "{text}");
}

#[test]
fn a_path_that_cannot_be_opened_is_named() {
    let target = LogTarget::File(PathBuf::from("/nonexistent-folder/access.log"));
    let error =
        AccessLogSink::start(target, LogFormat::Json, ErrorLog::start().unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("/nonexistent-folder/access.log"),
        "{error}"
    );
}

#[test]
fn logging_after_the_writer_ended_only_counts() {
    let folder = tempfile::tempdir().unwrap();
    let sink = file_sink(&folder.path().join("access.log"));
    let mut shard = sink.shard_log();
    assert!(sink.close(WAIT));
    let lines = 1_000;
    for n in 0..lines {
        log(&mut shard, &format!("/{n}"));
    }
    assert_eq!(shard.take_lines_dropped() + shard.lines, lines);
    assert!(
        shard.batch.len() < ACCESS_LOG_BATCH_BYTES,
        "memory stays bounded"
    );
}
