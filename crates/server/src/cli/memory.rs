//! Memory of a burst is given back when it is over: see `engine::memory`.

use std::time::Duration;

use corelane::internals::engine::memory;

/// Before any thread starts. Without a thread for it only large blocks come back.
pub(super) fn give_back() {
    memory::map_large_blocks();
    let trimming = std::thread::Builder::new().name("memory".to_owned());
    let _ = trimming.spawn(|| {
        // From before the first request: a first look in the middle of a burst
        // would take what the burst needs for what is in use.
        let mut trimmer = Trimmer::starting_at(resident_pages());
        loop {
            std::thread::sleep(LOOK_EVERY);
            if trimmer.is_due(resident_pages()) {
                memory::trim();
                trimmer.note_trimmed(resident_pages());
            }
        }
    });
}

/// When trimming is worth it: the process has grown, and grows no more.
#[derive(Debug)]
struct Trimmer {
    /// What is in use, as far as is known: the least since, or after, a trim.
    floor: u64,
    last: u64,
    /// Trims that follow one that was worth it.
    again: u8,
}

impl Trimmer {
    /// With so many pages in use.
    fn starting_at(pages: u64) -> Self {
        Self {
            floor: pages,
            last: pages,
            again: 0,
        }
    }

    fn is_due(&mut self, pages: u64) -> bool {
        let has_settled = pages <= self.last + SLACK_PAGES;
        self.last = pages;
        self.floor = self.floor.min(pages);
        if has_settled && pages > self.floor + GROWN_PAGES {
            self.again = TRIMS_AGAIN;
            return true;
        }
        // Some of it was still used at the first.
        let is_due = self.again > 0;
        self.again -= u8::from(is_due);
        is_due
    }

    /// What is left is used: a cache that has filled, for one.
    fn note_trimmed(&mut self, pages: u64) {
        (self.floor, self.last) = (pages, pages);
    }
}

/// 0 where it cannot be read, which is never grown.
fn resident_pages() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = statm.split(' ').nth(1);
    resident.and_then(|pages| pages.parse().ok()).unwrap_or(0)
}

const TRIMS_AGAIN: u8 = 2;
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// 4 MiB of pages of 4 KiB: what may stay without anybody minding.
const GROWN_PAGES: u64 = 1_024;
const SLACK_PAGES: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_once_when_a_burst_is_over() {
        let mut trimmer = Trimmer::starting_at(10_000);
        // It still grows.
        assert!(!trimmer.is_due(20_000));
        assert!(!trimmer.is_due(30_000));
        assert!(trimmer.is_due(30_050));
        trimmer.note_trimmed(12_000);
        assert!(trimmer.is_due(12_500) && trimmer.is_due(12_500));
        assert!(!trimmer.is_due(12_500));
        // What could not be given back is used, and not tried again.
        assert!(!trimmer.is_due(40_000));
        assert!(trimmer.is_due(40_000));
        trimmer.note_trimmed(40_000);
        assert!(trimmer.is_due(40_000) && trimmer.is_due(40_000));
        assert!(!trimmer.is_due(40_000));
        // Down by itself.
        assert!(!trimmer.is_due(9_000));
        assert!(!trimmer.is_due(0));
    }

    #[test]
    fn it_is_due_after_a_burst_that_was_there_at_the_first_look() {
        let mut trimmer = Trimmer::starting_at(5_000);
        assert!(!trimmer.is_due(30_000));
        assert!(trimmer.is_due(30_000));
    }
}
