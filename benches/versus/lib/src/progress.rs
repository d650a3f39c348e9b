//! How far it is: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Progress over a known number of cells.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    done: usize,
    all: usize,
}

impl Progress {
    /// Begins.
    pub fn new(all: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(all as u64);
            let template = "{bar:30} {pos}/{len} {elapsed} gone, {eta} left  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        Self {
            bar,
            started: Instant::now(),
            done: 0,
            all,
        }
    }

    /// What is being done.
    pub fn at(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// One more cell is done; what came of it.
    pub fn done(&mut self, what: &str) {
        self.done += 1;
        match &self.bar {
            Some(bar) => {
                bar.inc(1);
                bar.println(what);
            }
            None => {
                let left = self.started.elapsed() * (self.all - self.done) as u32;
                let left = (left / self.done as u32).as_secs();
                let (done, all) = (self.done, self.all);
                eprintln!("[{done}/{all}, {}:{:02} left] {what}", left / 60, left % 60);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
