//! `corelane seed`: adds demo users and posts, and says how far it is.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

use super::args::SeedArgs;
use super::console::Console;
use super::failure::Failure;
use super::settings;
use crate::store::{Database, SeedPlan, SeedReport, StoreError};

pub(super) fn run(args: &SeedArgs) -> Result<(), Failure> {
    let config = settings::load(&args.store.sources())?.config;
    let database = Database::open(&config.store)
        .map_err(|error| Failure::with_cure_inside("the store cannot be opened", error))?;
    let plan = SeedPlan {
        users: args.users,
        posts: args.posts,
        ..SeedPlan::default()
    };
    if plan.users == 0 && plan.posts > 0 && database.is_empty().is_ok_and(|empty| empty) {
        return Err(Failure::usage(
            "--posts: posts need an author, and the store has no users",
            "give --users too",
        ));
    }
    let report = fill(&database, &plan)?;
    database.close();
    eprintln!(
        "added {} users and {} posts to {} in {:.1} s",
        report.users,
        report.posts,
        config.store.url,
        report.elapsed_ms as f64 / 1e3
    );
    Ok(())
}

/// Fills a store; progress goes to stderr.
fn fill(database: &Database, plan: &SeedPlan) -> Result<SeedReport, Failure> {
    let rows = plan.users.saturating_add(plan.posts);
    let mut progress = Progress::new(rows, |text| eprintln!("{text}"));
    let filled = database.seed(plan, &mut |done, _| progress.show(done));
    progress.finish();
    filled.map_err(|error| failure(&error))
}

/// [`fill`] for a store without users; `None` if it has some by now.
pub(super) fn fill_if_empty(
    database: &Database,
    plan: &SeedPlan,
    console: &Console,
) -> Result<Option<SeedReport>, Failure> {
    let rows = plan.users.saturating_add(plan.posts);
    let mut progress = Progress::new(rows, |text| console.say(text));
    let filled = database.seed_if_empty(plan, &mut |done, _| progress.show(done));
    progress.finish();
    filled.map_err(|error| failure(&error))
}

fn failure(error: &StoreError) -> Failure {
    Failure::runtime(
        format!("the store could not be filled: {error}"),
        cure_of(error),
    )
}

fn cure_of(error: &StoreError) -> &'static str {
    match error {
        StoreError::DiskFull(_) => {
            "free space on its disk and start again; rows already added stay"
        }
        StoreError::Busy | StoreError::Unavailable(_) => {
            "wait for what else writes to it, or stop that, and start again; rows already added stay"
        }
        _ => {
            "see the reason above; rows already added stay, `--store sqlite:PATH` names another store"
        }
    }
}

/// A bar on a terminal; elsewhere a line now and then.
enum Progress<F> {
    Bar(ProgressBar),
    Lines {
        say: F,
        rows: u64,
        told: Instant,
        interval: Duration,
    },
}

impl<F: Fn(String)> Progress<F> {
    fn new(rows: u64, say: F) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines {
                say,
                rows,
                told: Instant::now(),
                interval: LINE_INTERVAL,
            };
        }
        let bar = ProgressBar::new(rows);
        // The template is a constant; a plain bar is as good if it were wrong.
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            let whole_rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                // A bar that cannot be drawn stops nothing.
                let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
            };
            bar.set_style(style.with_key("rate", whole_rate));
        }
        Self::Bar(bar)
    }

    fn show(&mut self, done: u64) {
        match self {
            Self::Bar(bar) => bar.set_position(done),
            Self::Lines {
                say,
                rows,
                told,
                interval,
            } => {
                if told.elapsed() >= *interval {
                    *told = Instant::now();
                    say(format!("filling the store: {done} of {rows} rows"));
                }
            }
        }
    }

    fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

const BAR: &str =
    "filling the store {wide_bar} {human_pos} of {human_len} rows, {rate}, {eta} left";
const LINE_INTERVAL: Duration = Duration::from_secs(2);
