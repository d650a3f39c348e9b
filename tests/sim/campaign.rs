//! Many runs, on as many threads as there are cores, until there have been
//! enough operations; a failing one is shown with the command that replays it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use corelane_proto::coherence::Rules;

use crate::coverage::Coverage;
use crate::mutation::Mutation;
use crate::trace::{Detail, Trace};
use crate::world::{Ended, run};

/// What a campaign came to.
#[derive(Debug, Default)]
pub(crate) struct Campaign {
    pub(crate) runs: u64,
    pub(crate) seconds: f64,
    pub(crate) coverage: Coverage,
    /// The seed and the reason of the first that failed.
    pub(crate) failure: Option<(u64, String)>,
}

/// One run; a panic in the protocol is a failure of it.
pub(crate) fn run_caught<R: Rules>(seed: u64, mutation: Mutation, detail: Detail) -> Ended {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        run::<R>(seed, mutation, Trace::new(detail))
    }));
    ended.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Ended {
            coverage: Coverage::default(),
            failure: Some(format!("panicked: {}", text.unwrap_or_default())),
        }
    })
}

impl Campaign {
    /// Runs seeds from `first` on until `operations` have been done or one
    /// fails.
    pub(crate) fn run<R: Rules>(first: u64, operations: u64, threads: usize) -> Self {
        let started = Instant::now();
        let (next, done, stop) = (
            AtomicU64::new(first),
            AtomicU64::new(0),
            AtomicBool::new(false),
        );
        let total = Mutex::new(Self::default());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while done.load(Ordering::Relaxed) < operations && !stop.load(Ordering::Relaxed)
                    {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let ended = run_caught::<R>(seed, Mutation::Nothing, Detail::Nothing);
                        done.fetch_add(ended.coverage.operations, Ordering::Relaxed);
                        let mut total = total.lock().expect("no thread panics");
                        total.runs += 1;
                        total.coverage.add(&ended.coverage);
                        if let Some(why) = ended.failure {
                            stop.store(true, Ordering::Relaxed);
                            total.failure.get_or_insert((seed, why));
                        }
                    }
                });
            }
        });
        let mut total = total.into_inner().expect("no thread panics");
        total.seconds = started.elapsed().as_secs_f64();
        total
    }

    pub(crate) fn show(&self) {
        let operations = self.coverage.operations;
        println!(
            "{} seeds, {operations} operations in {:.1} s: {:.0} a second",
            self.runs,
            self.seconds,
            operations as f64 / self.seconds
        );
        for (name, count) in self.coverage.counts() {
            println!("{count:>12} {name}");
        }
    }

    /// Shows a failing run again, from its end, and panics.
    pub(crate) fn demand_success<R: Rules>(&self) {
        let Some((seed, why)) = &self.failure else {
            return;
        };
        let _ = run_caught::<R>(*seed, Mutation::Nothing, Detail::Failure);
        panic!(
            "seed {seed}: {why}\nreplay: CORELANE_SIM_SEED={seed} CORELANE_SIM_TRACE=1 \
             cargo test --profile sim --test sim one_seed -- --nocapture"
        );
    }
}
