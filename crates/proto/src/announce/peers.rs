//! Which shards of other processes tell of their writes themselves, and whether
//! one has fallen silent: it may have died between a commit and telling of it,
//! and what it had sent may still be committed.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::rules::{Rules, Sound};
use crate::limits::{DATABASE_BEAT_MS, DATABASE_LEASE_MS, DATABASE_PEERS_MAX, DATABASE_SILENCE_MS};

/// What a shard says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// That it is there.
    Beat,
    /// That it writes no more.
    Bye,
}

impl Word {
    /// As it is told, after the shard's name and a blank.
    pub fn text(self) -> &'static str {
        match self {
            Self::Beat => "beat",
            Self::Bye => "bye",
        }
    }
}

/// The shards a listener expects to hear of.
#[derive(Debug)]
pub struct Peers<R = Sound> {
    /// Of this process; its own shards are none of them.
    origin: String,
    /// How long a statement may take.
    statement: Duration,
    heard_at: HashMap<String, Instant>,
    /// Until then something may be committed that nobody tells of.
    doubtful_until: Option<Instant>,
    doubted_at: Option<Instant>,
    has_overflowed: bool,
    rules: PhantomData<R>,
}

impl<R: Rules> Peers<R> {
    /// Nobody yet. `origin` is what the names of the process's own shards begin
    /// with; `statement_timeout_ms` is how long a server lets a statement run.
    pub fn new(origin: &str, statement_timeout_ms: u64) -> Self {
        Self {
            origin: origin.to_owned(),
            statement: Duration::from_millis(statement_timeout_ms),
            heard_at: HashMap::new(),
            doubtful_until: None,
            doubted_at: None,
            has_overflowed: false,
            rules: PhantomData,
        }
    }

    /// What was told: a shard's name, and `beat` or `bye`.
    pub fn hear(&mut self, told: &str, now: Instant) {
        let Some((member, word)) = told.rsplit_once(' ') else {
            return;
        };
        if member.starts_with(&self.origin) {
            return;
        }
        if word == Word::Bye.text() {
            self.heard_at.remove(member);
        } else if self.heard_at.len() < DATABASE_PEERS_MAX || self.heard_at.contains_key(member) {
            self.heard_at.insert(member.to_owned(), now);
        } else {
            self.has_overflowed = true;
        }
    }

    /// Whether anything may have been written untold, since this was last asked.
    pub fn have_doubts(&mut self, now: Instant) -> bool {
        let silence = Duration::from_millis(DATABASE_SILENCE_MS);
        let lease = Duration::from_millis(DATABASE_LEASE_MS);
        let beat = Duration::from_millis(DATABASE_BEAT_MS);
        let mut is_news = std::mem::take(&mut self.has_overflowed);
        self.heard_at.retain(|_, heard_at| {
            let is_silent = now.saturating_duration_since(*heard_at) >= silence;
            if is_silent {
                // What it began at the last moment has ended by then.
                let ended = *heard_at + lease + self.statement + beat;
                self.doubtful_until = self.doubtful_until.max(Some(ended));
                is_news = true;
            }
            !is_silent
        });
        let is_due = self.doubted_at.is_none_or(|at| now >= at + beat);
        if let Some(until) = self.doubtful_until
            && is_due
        {
            is_news = true;
            // Once more after the last of it.
            if now >= until || R::DOUBT_ONCE {
                self.doubtful_until = None;
            }
        }
        if is_news {
            self.doubted_at = Some(now);
        }
        is_news
    }

    /// Before somebody listens anew. The server may have stood still meanwhile,
    /// and those who were there with it: their silence counts from here, and so
    /// does the time of what they had sent.
    pub fn listen_anew(&mut self, now: Instant) {
        if R::FORGET_PEERS {
            self.heard_at.clear();
            self.doubtful_until = None;
        }
        self.heard_at.values_mut().for_each(|at| *at = now);
        let ended = now + self.statement + Duration::from_millis(DATABASE_BEAT_MS);
        self.doubtful_until = self.doubtful_until.map(|until| until.max(ended));
    }

    /// When to ask again at the latest, if at all.
    pub fn due_at(&self) -> Option<Instant> {
        let silence = Duration::from_millis(DATABASE_SILENCE_MS);
        let silent = self.heard_at.values().min().map(|at| *at + silence);
        let beat = Duration::from_millis(DATABASE_BEAT_MS);
        let doubt = self.doubted_at.map(|at| at + beat);
        let doubt = self.doubtful_until.and(doubt);
        silent.into_iter().chain(doubt).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn silence_is_doubted_and_a_goodbye_is_not() {
        let (start, mut peers) = (Instant::now(), Peers::<Sound>::new("me", 4_000));
        for told in ["you.1 beat", "you.2 beat", "me.1 beat", "nonsense", ""] {
            peers.hear(told, start);
        }
        assert_eq!(peers.due_at(), Some(at(start, 3_000)));
        peers.hear("you.1 bye", at(start, 900));
        peers.hear("you.2 beat", at(start, 1_000));
        assert!(!peers.have_doubts(at(start, 3_999)));
        assert!(peers.have_doubts(at(start, 4_000)));
        assert!(!peers.have_doubts(at(start, 4_999)));
        // Heard at 1 s: it began nothing after 3 s, which has ended at 7 s.
        for ms in [5_000, 6_000, 7_000, 8_000] {
            assert_eq!(peers.due_at(), Some(at(start, ms)));
            assert!(peers.have_doubts(at(start, ms)), "{ms}");
        }
        assert!(!peers.have_doubts(at(start, 9_000)));
        assert_eq!(peers.due_at(), None);
    }

    #[test]
    fn who_listens_anew_gives_everybody_the_whole_time_again() {
        let (start, mut peers) = (Instant::now(), Peers::<Sound>::new("me", 4_000));
        peers.hear("you.1 beat", start);
        peers.listen_anew(at(start, 60_000));
        assert!(!peers.have_doubts(at(start, 62_999)));
        assert!(peers.have_doubts(at(start, 63_000)));
        // Would be until 67 s.
        peers.listen_anew(at(start, 66_000));
        assert!(peers.have_doubts(at(start, 67_000)));
        assert!(peers.have_doubts(at(start, 71_000)));
        assert!(!peers.have_doubts(at(start, 72_000)));
    }

    #[test]
    fn too_many_to_follow_are_doubted_at_once() {
        let (start, mut peers) = (Instant::now(), Peers::<Sound>::new("me", 4_000));
        for number in 0..DATABASE_PEERS_MAX {
            peers.hear(&format!("you.{number} beat"), start);
        }
        assert!(!peers.have_doubts(start));
        peers.hear("one.more beat", start);
        peers.hear("you.0 beat", start);
        assert!(peers.have_doubts(start) && !peers.have_doubts(start));
        assert_eq!(peers.heard_at.len(), DATABASE_PEERS_MAX);
    }
}
