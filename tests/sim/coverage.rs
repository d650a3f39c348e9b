//! How often the interesting things happened: a simulation that covers nothing
//! finds nothing.

use corelane_proto::coherence::Rules;

use crate::shards::Shard;

macro_rules! counts {
    ($($name:ident),+ $(,)?) => {
        /// Counts of one run, or of many.
        #[derive(Debug, Clone, Default)]
        pub(crate) struct Coverage {
            $(pub(crate) $name: u64,)+
        }

        impl Coverage {
            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }

            pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),+]
            }
        }
    };
}

counts! {
    operations, events, messages,
    hits, hits_stale, leads, leads_unkept,
    answers_from_home, answers_collapsed, answers_uncached, answers_on_error, answers_failed,
    loads_failed, loads_abandoned,
    writes_acknowledged, writes_with_value, writes_of_several, writes_failed, writes_in_doubt,
    late_commits, outside_writes,
    purges, touches, touches_of_something, peeks, peeks_absent, flushes,
    dropped, lost, timeouts, homes_gone,
    deaths, deaths_overlapping, deaths_unready, hellos_with_writes,
    waits_for_hello, waits_for_room, refused,
    home_hits, home_loads, home_collapsed, home_bypasses, home_loads_revoked, home_writes,
    home_invalidations, home_evictions, home_doubts,
    holder_invalidations, holder_evictions, holder_given_up,
}

impl Coverage {
    /// What a shard's incarnation has counted itself, when it ends.
    pub(crate) fn add_counters<R: Rules>(&mut self, shard: &Shard<R>) {
        let Some(live) = &shard.live else {
            return;
        };
        let (home, holder) = (live.home.counters(), live.holder.counters());
        self.home_hits += home.hits;
        self.home_loads += home.loads;
        self.home_collapsed += home.collapsed;
        self.home_bypasses += home.bypasses;
        self.home_loads_revoked += home.loads_revoked;
        self.home_writes += home.writes;
        self.home_invalidations += home.invalidations;
        self.home_evictions += home.evictions;
        self.home_doubts += home.doubts;
        self.holder_invalidations += holder.invalidations;
        self.holder_evictions += holder.evictions;
        self.holder_given_up += holder.given_up;
    }
}
