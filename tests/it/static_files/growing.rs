//! Files that grow while they are sent are sent as far as they were.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Site;
use crate::harness::{Engine, pattern};

either_engine!(
    a_log_that_is_written_is_downloaded_whole,
    a_long_file_that_is_rewritten_is_never_sent_whole,
);

const LENGTH: usize = 4 << 20;

fn a_log_that_is_written_is_downloaded_whole(engine: Engine) {
    let content = pattern(LENGTH);
    let site = Site::start(engine, &[("a.log", &content)]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut options = fs::File::options();
            let mut file = options
                .append(true)
                .open(site.path("a.log"))
                .expect("a file");
            while !is_over.load(Ordering::Relaxed) {
                file.write_all(b"one more line\n").expect("written");
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let _over = Over(&is_over);
        let mut client = site.connect();
        for _ in 0..20 {
            let whole = client.get("/static/a.log").expect(200);
            assert!(whole.body.len() >= LENGTH && whole.body[..LENGTH] == content);
            let part = client.get_with("/static/a.log", &[("Range", "bytes=1000-3999999")]);
            assert!(part.expect(206).body == content[1_000..4_000_000]);
        }
    });
}

/// Ends the writer, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn a_long_file_that_is_rewritten_is_never_sent_whole(engine: Engine) {
    let content = pattern(LENGTH);
    let other: Vec<u8> = content.iter().map(|byte| !byte).chain(0..=255).collect();
    let site = Site::start(engine, &[("a.bin", &content)]);
    std::thread::sleep(Duration::from_millis(100));
    let mut client = site.connect();
    client.receive_buffer(65_536);
    client.send("GET /static/a.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_head().status, 200);
    client.read_exactly(65_536);
    // Longer than it was, and another from the first byte on.
    fs::write(site.path("a.bin"), &other).expect("a file");
    let rest = client.read_to_end(Duration::from_secs(20));
    assert!(rest.len() < LENGTH - 65_536, "a file of both");
}
