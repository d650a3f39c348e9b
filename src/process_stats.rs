//! What the kernel knows of this process: memory, CPU time, descriptors,
//! threads.
//!
//! Read by the shard that answers `/metrics`: two small files of `/proc` and
//! three system calls, about 30 µs. What cannot be read (no `/proc` in a
//! sandbox) is 0.

use std::fs;
use std::sync::OnceLock;
use std::time::Instant;

use rustix::process::Resource;
use rustix::time::{ClockId, Timespec};

use crate::clock;
use crate::metrics::ProcessStats;

/// Reads the process's numbers. `server_started` is what uptime counts from.
pub(crate) fn read(server_started: Instant) -> ProcessStats {
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let stat = stat.as_deref().and_then(Stat::parse).unwrap_or_default();
    let (virtual_bytes, resident_bytes) = memory_bytes().unwrap_or_default();
    ProcessStats {
        uptime_ms: server_started.elapsed().as_millis() as u64,
        start_time_unix_ms: start_time_unix_ms(stat.start_ticks),
        resident_bytes,
        virtual_bytes,
        cpu_us: clock_us(ClockId::ProcessCPUTime),
        cpu_user_us: ticks_to_us(stat.user_ticks),
        cpu_system_us: ticks_to_us(stat.system_ticks),
        open_fds: open_fds(),
        fds_max: rustix::process::getrlimit(Resource::Nofile)
            .current
            .unwrap_or(u64::MAX),
        threads: stat.threads,
    }
}

/// The fields of `/proc/self/stat` that are used, proc_pid_stat(5).
#[derive(Debug, Default, PartialEq, Eq)]
struct Stat {
    user_ticks: u64,
    system_ticks: u64,
    threads: u64,
    /// Start of the process, ticks since boot.
    start_ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name in parentheses may hold spaces and parentheses itself.
        let (_, after_name) = text.rsplit_once(')')?;
        // The first field after the name is number 3.
        let mut fields = after_name.split_ascii_whitespace();
        let mut next = |skip: usize| fields.nth(skip)?.parse().ok();
        Some(Self {
            user_ticks: next(14 - 3)?,
            system_ticks: next(0)?,
            threads: next(20 - 16)?,
            start_ticks: next(22 - 21)?,
        })
    }
}

/// Address space and resident memory, proc_pid_statm(5).
fn memory_bytes() -> Option<(u64, u64)> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split_ascii_whitespace().map(str::parse::<u64>);
    let page_bytes = rustix::param::page_size() as u64;
    Some((
        pages.next()?.ok()? * page_bytes,
        pages.next()?.ok()? * page_bytes,
    ))
}

/// Open descriptors. Since Linux 6.2 the size of `/proc/self/fd` is their
/// count; before, its entries are counted, which costs 0.3 µs each.
fn open_fds() -> u64 {
    let Ok(metadata) = fs::metadata("/proc/self/fd") else {
        return 0;
    };
    match metadata.len() {
        // The open directory itself is one of the entries.
        0 => fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64 - 1),
        count => count,
    }
}

/// Computed once, so that it is the same number at every scrape.
fn start_time_unix_ms(start_ticks: u64) -> u64 {
    static START: OnceLock<u64> = OnceLock::new();
    *START.get_or_init(|| {
        let age_us = clock_us(ClockId::Boottime).saturating_sub(ticks_to_us(start_ticks));
        (clock::unix_ms() as u64).saturating_sub(age_us / 1_000)
    })
}

fn clock_us(clock: ClockId) -> u64 {
    let Timespec { tv_sec, tv_nsec } = rustix::time::clock_gettime(clock);
    tv_sec as u64 * 1_000_000 + tv_nsec as u64 / 1_000
}

fn ticks_to_us(ticks: u64) -> u64 {
    ticks * (1_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn stat_is_read_past_any_process_name() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 10 0 0 0 25 31 0 0 20 0 9 0 4711 8 9 0";
        let stat = Stat::parse(text);
        let expected = Stat {
            user_ticks: 25,
            system_ticks: 31,
            threads: 9,
            start_ticks: 4711,
        };
        assert_eq!(stat, Some(expected));
        assert_eq!(Stat::parse("7 (cut off) S 1 7"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_is_described() {
        let started = Instant::now();
        // Until it has had that much of a processor that others want too.
        let mut before = read(started);
        while before.cpu_us < 15_000 || before.uptime_ms < 20 {
            assert!(started.elapsed() < Duration::from_secs(20), "{before:?}");
            before = read(started);
        }
        assert!(before.resident_bytes > 1 << 20 && before.virtual_bytes > before.resident_bytes);
        assert!(before.threads >= 1 && before.fds_max > 0);
        let age_ms = clock::unix_ms() as u64 - before.start_time_unix_ms;
        assert!(age_ms < 3_600_000, "started {age_ms} ms ago");
        assert_eq!(read(started).start_time_unix_ms, before.start_time_unix_ms);
    }

    #[test]
    fn descriptors_are_counted() {
        // Other tests open and close files meanwhile; 200 stand out.
        let before = read(Instant::now()).open_fds;
        let files: Vec<_> = (0..200)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let during = read(Instant::now()).open_fds;
        assert!(
            before >= 3 && during.abs_diff(before + 200) < 100,
            "{before}, then {during}"
        );
        drop(files);
    }
}
