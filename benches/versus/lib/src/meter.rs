//! CPU time that process trees use while something runs.

use std::collections::HashMap;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::procfs;

/// How often it looks. A thread that ends takes with it what it used since the
/// last look; wrk and oha themselves are read that late too.
const INTERVAL: Duration = Duration::from_millis(25);

/// What one tree used since its first look.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By process and thread.
    tasks: HashMap<(u32, u32), Counted>,
    /// What it used in all, over time.
    series: Vec<(Instant, u64)>,
}

/// CPU time of a thread, nanoseconds.
#[derive(Debug)]
struct Counted {
    /// Since the first look.
    spent: u64,
    /// Since it began, at the last look.
    last: u64,
}

impl Ledger {
    /// Looks at a tree.
    pub fn look(&mut self, root: u32) {
        let pids = procfs::tree(root);
        let of = |pid: u32| {
            procfs::cpu_ns(pid)
                .into_iter()
                .map(move |(t, ns)| ((pid, t), ns))
        };
        self.note(Instant::now(), pids.into_iter().flat_map(of));
    }

    /// Notes the CPU time of every thread there is. One that was not there at
    /// the first look counts from nothing; one that is gone keeps what it had.
    fn note(&mut self, at: Instant, tasks: impl Iterator<Item = ((u32, u32), u64)>) {
        let is_first = self.series.is_empty();
        for (task, ns) in tasks {
            let counted = self.tasks.entry(task).or_insert_with(|| Counted {
                spent: 0,
                last: if is_first { ns } else { 0 },
            });
            // Less than before: the id belongs to another, younger thread.
            counted.spent += ns.checked_sub(counted.last).unwrap_or(ns);
            counted.last = ns;
        }
        let spent = self.spent_ns();
        self.series.push((at, spent));
    }

    /// What it used, nanoseconds.
    pub fn spent_ns(&self) -> u64 {
        self.tasks.values().map(|counted| counted.spent).sum()
    }

    /// How many CPUs it kept busy in the last `window` before the end.
    pub fn busy(&self, window: Duration) -> f64 {
        let Some((end, total)) = self.series.last() else {
            return 0.0;
        };
        let begin = end.checked_sub(window);
        let inside = |at: &&(Instant, u64)| begin.is_none_or(|begin| at.0 >= begin);
        let Some((at, spent)) = self.series.iter().find(inside) else {
            return 0.0;
        };
        let seconds = end.duration_since(*at).as_secs_f64();
        if seconds <= 0.0 {
            return 0.0;
        }
        (total - spent) as f64 / 1e9 / seconds
    }
}

/// The server, the load and PostgreSQL while the load runs.
#[derive(Debug, Default)]
pub struct Metered {
    pub server: Ledger,
    pub load: Ledger,
    pub database: Ledger,
}

impl Metered {
    /// First look at those that run before the load does.
    pub fn begin(server: u32, database: Option<u32>) -> Self {
        let mut metered = Self::default();
        metered.server.look(server);
        if let Some(database) = database {
            metered.database.look(database);
        }
        metered
    }

    /// Looks again and again until the load ends or `patience` does.
    ///
    /// # Errors
    /// When the load did not end in time; it is killed.
    pub fn until_end_of(
        &mut self,
        load: &mut Child,
        server: u32,
        database: Option<u32>,
        patience: Duration,
    ) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        // The load counts from its own beginning.
        self.load.note(Instant::now(), std::iter::empty());
        loop {
            self.load.look(load.id());
            self.server.look(server);
            if let Some(database) = database {
                self.database.look(database);
            }
            match load.try_wait() {
                Ok(Some(_)) => break,
                Ok(None) if Instant::now() < deadline => std::thread::sleep(INTERVAL),
                _ => {
                    let _ = load.kill();
                    let _ = load.wait();
                    return Err(format!("the load did not end within {patience:?}"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(ledger: &mut Ledger, at: Instant, tasks: &[(u32, u64)]) {
        ledger.note(at, tasks.iter().map(|(thread, ns)| ((1, *thread), *ns)));
    }

    #[test]
    fn what_was_used_before_does_not_count_and_what_is_gone_does() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        note(&mut ledger, now, &[(1, 1_000), (2, 500)]);
        assert_eq!(ledger.spent_ns(), 0);
        // Thread 2 is gone, thread 3 is new.
        note(&mut ledger, now, &[(1, 1_300), (3, 40)]);
        assert_eq!(ledger.spent_ns(), 340);
        note(&mut ledger, now, &[(1, 1_300)]);
        assert_eq!(ledger.spent_ns(), 340);
    }

    #[test]
    fn a_thread_id_used_again_never_counts_backwards() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        note(&mut ledger, now, &[(1, 1_000)]);
        note(&mut ledger, now, &[(1, 1_500)]);
        note(&mut ledger, now, &[(1, 20)]);
        assert_eq!(ledger.spent_ns(), 520);
    }

    #[test]
    fn busy_is_of_the_last_window() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let second = Duration::from_secs(1);
        note(&mut ledger, start, &[]);
        note(&mut ledger, start + second, &[(1, 100_000_000)]);
        note(&mut ledger, start + 2 * second, &[(1, 1_050_000_000)]);
        assert!((ledger.busy(second) - 0.95).abs() < 1e-9);
        assert!((ledger.busy(10 * second) - 0.525).abs() < 1e-9);
        assert_eq!(Ledger::default().busy(second), 0.0);
    }
}
