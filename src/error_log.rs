//! What went wrong, on stderr, without a shard waiting for whoever reads it.
//!
//! One thread per process writes; shards only queue. A full queue drops the
//! line and counts it, and the next line that gets through says how many.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::limits::ERROR_LOG_QUEUE_MAX;

/// A handle to the process's error log; clones share it.
#[derive(Debug, Clone)]
pub struct ErrorLog {
    queue: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Line {
    Text(String),
    /// Written as it is, of several lines perhaps.
    Plain(String),
    /// Everything before it is written: answer.
    Flush(SyncSender<()>),
}

impl ErrorLog {
    /// Starts the writer.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let (queue, lines) = sync_channel(ERROR_LOG_QUEUE_MAX);
        let dropped = Arc::<AtomicU64>::default();
        let counted = dropped.clone();
        thread::Builder::new()
            .name("error-log".to_owned())
            .spawn(move || write_lines(&lines, &counted, &mut std::io::stderr()))?;
        Ok(Self { queue, dropped })
    }

    /// Queues one line, without its newline. Never waits.
    pub fn log(&self, text: String) {
        if self.queue.try_send(Line::Text(text)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Queues a text of our own as it is, without its last newline. Never waits.
    pub fn say(&self, text: String) {
        if self.queue.try_send(Line::Plain(text)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was queued is written, at most `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let (done, wait) = sync_channel(1);
        let mut line = Line::Flush(done);
        // A full queue is what most needs to be waited for.
        loop {
            match self.queue.try_send(line) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if Instant::now() < deadline => {
                    line = back;
                    thread::sleep(FLUSH_RETRY);
                }
                Err(_) => return,
            }
        }
        let _ = wait.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

const FLUSH_RETRY: Duration = Duration::from_millis(5);

fn write_lines(lines: &Receiver<Line>, dropped: &AtomicU64, out: &mut impl Write) {
    while let Ok(line) = lines.recv() {
        let lost = dropped.swap(0, Ordering::Relaxed);
        // Nothing can be done about a stderr that is closed.
        if lost > 0 {
            let _ = writeln!(
                out,
                "corelane: {lost} lines of this log were lost: too many at once"
            );
        }
        match line {
            Line::Text(text) => drop(writeln!(out, "corelane: {}", one_line(&text))),
            Line::Plain(text) => drop(writeln!(out, "{text}")),
            Line::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Line breaks and other control characters would forge lines.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_waits_for_room_in_a_full_queue() {
        let (queue, lines) = sync_channel(1);
        let dropped = Arc::<AtomicU64>::default();
        let log = ErrorLog {
            queue,
            dropped: dropped.clone(),
        };
        log.log("queued".to_owned());
        let writer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            let mut out = Vec::new();
            write_lines(&lines, &dropped, &mut out);
            out
        });
        let asked = Instant::now();
        log.flush(Duration::from_secs(20));
        assert!(
            asked.elapsed() >= Duration::from_millis(40),
            "it did not wait"
        );
        drop(log);
        assert_eq!(writer.join().unwrap(), b"corelane: queued\n");
    }

    #[test]
    fn lines_stay_lines_and_losses_are_logged() {
        let (queue, lines) = sync_channel(2);
        let log = ErrorLog {
            queue,
            dropped: Arc::default(),
        };
        log.log("first\nforged".to_owned());
        log.log("second".to_owned());
        log.log("lost".to_owned());
        let dropped = log.dropped.clone();
        drop(log);
        let mut out = Vec::new();
        write_lines(&lines, &dropped, &mut out);
        let text = String::from_utf8(out).unwrap();
        let expected = "corelane: 1 lines of this log were lost: too many at once\n\
                        corelane: first forged\ncorelane: second\n";
        assert_eq!(text, expected);
    }
}
