//! What is counted of the second level: rows or answers in Redis.

/// Counters of one cache in Redis; they only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SecondLevelCounters {
    /// Found there.
    pub hits: u64,
    /// Not there.
    pub misses: u64,
    /// Not asked, or not answered: Redis is away or slow, or has not been told
    /// of a write yet.
    pub bypasses: u64,
    /// Put there after a load.
    pub fills: u64,
    /// Not put there because something newer was there.
    pub fills_older: u64,
    /// Not put there because the load took too long, or everything was given up
    /// meanwhile.
    pub fills_late: u64,
    /// Writes and changes made elsewhere that were told.
    pub writes: u64,
    /// Writes that could not be told and were remembered.
    pub debts: u64,
    /// What was found and is not ours.
    pub garbage: u64,
    /// Not put there because too many were being put.
    pub dropped: u64,
    /// Putting or telling that failed.
    pub failures: u64,
}

/// One of them, on one shard or on all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecondLevelSnapshot {
    /// Its name.
    pub name: String,
    /// What has happened.
    pub counters: SecondLevelCounters,
}

impl SecondLevelCounters {
    /// Adds another shard's, or a predecessor's.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.fields_mut().into_iter().zip(other.fields()) {
            *mine += theirs.1;
        }
    }

    /// Names and values, as the metrics show them.
    pub fn fields(&self) -> [(&'static str, u64); 11] {
        [
            ("hits", self.hits),
            ("misses", self.misses),
            ("bypasses", self.bypasses),
            ("fills", self.fills),
            ("fills_older", self.fills_older),
            ("fills_late", self.fills_late),
            ("writes", self.writes),
            ("debts", self.debts),
            ("garbage", self.garbage),
            ("dropped", self.dropped),
            ("failures", self.failures),
        ]
    }

    fn fields_mut(&mut self) -> [&mut u64; 11] {
        [
            &mut self.hits,
            &mut self.misses,
            &mut self.bypasses,
            &mut self.fills,
            &mut self.fills_older,
            &mut self.fills_late,
            &mut self.writes,
            &mut self.debts,
            &mut self.garbage,
            &mut self.dropped,
            &mut self.failures,
        ]
    }
}

/// Adds one shard's to those of others, by name.
pub(super) fn add_second_levels(
    sums: &mut Vec<SecondLevelSnapshot>,
    shard: &[SecondLevelSnapshot],
) {
    for level in shard {
        match sums.iter_mut().find(|sum| sum.name == level.name) {
            Some(sum) => sum.counters.add(&level.counters),
            None => sums.push(level.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_added_and_named_once() {
        let mut one = SecondLevelCounters::default();
        for (index, field) in one.fields_mut().into_iter().enumerate() {
            *field = 1 << index;
        }
        let level = SecondLevelSnapshot {
            name: "a".to_owned(),
            counters: one,
        };
        let mut sums = Vec::new();
        add_second_levels(&mut sums, &[level.clone(), level]);
        assert_eq!(sums.len(), 1);
        let fields = sums[0].counters.fields();
        let names: std::collections::BTreeSet<_> = fields.iter().map(|f| f.0).collect();
        assert_eq!(names.len(), fields.len());
        for (index, (name, value)) in fields.into_iter().enumerate() {
            assert_eq!(value, 2 << index, "{name}");
        }
    }
}
