//! The database: one register per key, and what was promised about it.

use crate::zones::{Moment, Zones};

/// A key's row. Every write has a number of its own, which is its value.
#[derive(Debug)]
pub(crate) struct Register {
    /// Written by others too, past the protocol, and purged afterwards: then
    /// only what was acknowledged is promised, not one order of everything.
    pub(crate) is_loose: bool,
    /// Most of its writes are shared ones.
    pub(crate) is_shared: bool,
    value: u32,
    /// When each number was written: its place in the order of commits, from 1;
    /// 0 is not.
    places: Vec<u32>,
    commits: u32,
    /// The latest commit that was acknowledged, or, in strict use, read: whoever
    /// asks from now on gets nothing older.
    floor: u32,
    zones: Zones,
}

impl Register {
    pub(crate) fn new(is_loose: bool, is_shared: bool) -> Self {
        Self {
            is_loose,
            is_shared,
            value: 0,
            places: vec![1],
            commits: 1,
            floor: 1,
            zones: Zones::new(),
        }
    }

    /// What the database says now.
    pub(crate) fn value(&self) -> u32 {
        self.value
    }

    /// What a read that begins now must not fall behind.
    pub(crate) fn floor(&self) -> u32 {
        self.floor
    }

    pub(crate) fn write_starts(&mut self, at: Moment) -> u32 {
        self.places.push(0);
        self.zones.write_starts(at)
    }

    pub(crate) fn commit(&mut self, number: u32) {
        self.commits += 1;
        self.places[number as usize] = self.commits;
        self.value = number;
    }

    pub(crate) fn acknowledge(&mut self, number: u32, at: Moment) {
        self.floor = self.floor.max(self.places[number as usize]);
        self.zones.write_ends(number, at);
    }

    pub(crate) fn fail(&mut self, number: u32) {
        self.zones.write_fails(number);
    }

    /// A write of unknown outcome can happen no more.
    pub(crate) fn expire(&mut self, number: u32, at: Moment) {
        self.zones.write_expires(number, at);
    }

    /// A read ended, which began at `start` when the floor was `floor`.
    pub(crate) fn read(
        &mut self,
        number: u32,
        floor: u32,
        start: Moment,
        end: Moment,
    ) -> Result<(), String> {
        let place = self.places.get(number as usize).copied().unwrap_or(0);
        if place == 0 {
            return Err(format!("value {number} was never committed"));
        }
        if place < floor {
            let newer = self.places.iter().position(|place| *place == floor);
            return Err(format!(
                "stale: the read began at moment {start} and came to value {number} (commit \
                 {place}) at {end}, but value {} (commit {floor}) had been acknowledged or read \
                 before it began",
                newer.unwrap_or_default()
            ));
        }
        if self.is_loose {
            return Ok(());
        }
        self.floor = self.floor.max(place);
        self.zones.read(number, start, end)
    }

    /// Whether one order explains all that was done.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.is_loose {
            return Ok(());
        }
        self.zones.check()
    }
}
