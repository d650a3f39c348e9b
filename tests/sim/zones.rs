//! Linearizability of a register whose written values are all different, in
//! linear space and n log n time (Gibbons and Korach, "Testing shared memories",
//! 1997, section 4.2).
//!
//! A value's operations (its write and all reads of it) shrink to a zone: from
//! the earliest end to the latest start of any of them. If the end comes first
//! the value must be in force throughout (a forward zone), else it can live at
//! one point in between (a backward zone). A history is linearizable exactly
//! when no read ends before its write starts, no two forward zones overlap, and
//! no backward zone lies wholly inside a forward one.

/// The moment of an event: its number in the run, all different.
pub(crate) type Moment = u64;

/// Never, as the end of a write whose outcome nobody was told.
pub(crate) const NEVER: Moment = Moment::MAX;

/// What is known of one value. Value 0 was there at the start.
#[derive(Debug, Clone, Copy)]
struct Zone {
    write_start: Moment,
    end_first: Moment,
    start_last: Moment,
    must_happen: bool,
    cannot_happen: bool,
}

/// The values of one register, by number.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    zones: Vec<Zone>,
}

impl Zones {
    pub(crate) fn new() -> Self {
        let mut zones = Self::default();
        zones.write_starts(0);
        zones.zones[0].must_happen = true;
        zones.zones[0].end_first = 0;
        zones
    }

    /// A write begins; the number of its value.
    pub(crate) fn write_starts(&mut self, at: Moment) -> u32 {
        self.zones.push(Zone {
            write_start: at,
            end_first: NEVER,
            start_last: at,
            must_happen: false,
            cannot_happen: false,
        });
        (self.zones.len() - 1) as u32
    }

    /// A write was acknowledged.
    pub(crate) fn write_ends(&mut self, number: u32, at: Moment) {
        let zone = &mut self.zones[number as usize];
        zone.end_first = zone.end_first.min(at);
        zone.must_happen = true;
    }

    /// A write of unknown outcome: from now on it will not take effect if it
    /// has not already.
    pub(crate) fn write_expires(&mut self, number: u32, at: Moment) {
        let zone = &mut self.zones[number as usize];
        zone.end_first = zone.end_first.min(at);
    }

    /// A write was said not to have happened.
    pub(crate) fn write_fails(&mut self, number: u32) {
        self.zones[number as usize].cannot_happen = true;
    }

    /// A read from `start` to `end` came to a value.
    pub(crate) fn read(&mut self, number: u32, start: Moment, end: Moment) -> Result<(), String> {
        let Some(zone) = self.zones.get_mut(number as usize) else {
            return Err(format!("value {number} was never written"));
        };
        if end < zone.write_start {
            return Err(format!("value {number} was read before its write began"));
        }
        zone.end_first = zone.end_first.min(end);
        zone.start_last = zone.start_last.max(start);
        zone.must_happen = true;
        Ok(())
    }

    /// Whether one order explains everything.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (mut forward, mut backward) = (Vec::new(), Vec::new());
        for (number, zone) in self.zones.iter().enumerate() {
            if zone.must_happen && zone.cannot_happen {
                return Err(format!("value {number} was read, its write did not happen"));
            }
            let (low, high) = (
                zone.end_first.min(zone.start_last),
                zone.end_first.max(zone.start_last),
            );
            match zone.end_first < zone.start_last {
                _ if !zone.must_happen => {}
                true => forward.push((low, high, number)),
                false => backward.push((low, high, number)),
            }
        }
        forward.sort_unstable();
        for pair in forward.windows(2) {
            if pair[1].0 < pair[0].1 {
                return Err(format!(
                    "values {} and {} were both in force between moments {} and {}",
                    pair[0].2, pair[1].2, pair[1].0, pair[0].1
                ));
            }
        }
        for (low, high, number) in backward {
            let before = forward.partition_point(|(start, ..)| *start < low);
            if let Some((_, end, other)) = before.checked_sub(1).map(|at| forward[at])
                && high < end
            {
                return Err(format!(
                    "value {number}, between moments {low} and {high}, has no room: \
                     {other} is in force"
                ));
            }
        }
        Ok(())
    }
}
