//! Core map + machine = placement, or an error that says what would be valid.
//!
//! Pure: it reads no file and pins nothing, so a map for a 128-core machine is
//! checked on a laptop. Invariants of every placement: each CPU exists, is
//! allowed, has at most one shard, and is no core left for housekeeping.

use super::core_map::{
    CoreMapOptions, CoreSelection, Pinning, Placement, PlacementError, ShardPlacement, ShardSlot,
};
use super::format_core_list;
use super::machine::{CoreRef, Machine};
use corelane_proto::limits::{
    CPU_IDS_MAX, OVERSUBSCRIBED_SHARDS_MAX, RING_ENTRIES_MAX, RING_ENTRIES_MIN, SPIN_US_MAX,
};

/// Places the shards of a core map on a machine.
///
/// # Errors
///
/// [`PlacementError`], naming the key that is wrong and what would be valid,
/// when a core does not exist, is offline, is not allowed, is given twice or
/// is both a shard's and housekeeping's; when more shards are asked for than
/// there are free physical cores (list the SMT siblings to go beyond, or allow
/// [`oversubscribe`](CoreMapOptions::oversubscribe)); when no
/// shard is left; or when a setting is out of its range.
///
/// ```
/// use corelane_engine::topology::{CoreMapOptions, CoreSelection, Machine, place};
/// let machine = Machine::read()?;
/// let one = CoreMapOptions { cores: CoreSelection::Count(1), ..Default::default() };
/// let placement = place(&machine, &one)?;
/// assert_eq!(placement.shards.len(), 1);
/// assert!(machine.allowed_cpus().contains(&placement.shards[0].cpu));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn place(machine: &Machine, options: &CoreMapOptions) -> Result<Placement, PlacementError> {
    check_ring_entries("ring_entries", options.ring_entries)?;
    check_spin_us("spin_us", options.spin_us)?;
    let cores = CoreChecker::new(machine, options)?;
    if let CoreSelection::Count(count) = options.cores
        && options.oversubscribe
        && let Some(placement) = place_unpinned(machine, options, &cores, count)?
    {
        return Ok(placement);
    }
    let wanted = match &options.cores {
        CoreSelection::All => place_all(machine, &cores)?,
        CoreSelection::Count(count) => place_count(machine, &cores, *count)?,
        CoreSelection::List(list) => place_list(cores, list)?,
        CoreSelection::Shards(shards) => place_shards(cores, shards)?,
    };
    let shards = fill_slots(machine, options, &wanted);
    Ok(finish(machine, options, shards))
}

/// Answers whether a core may be given to a shard, and remembers who has it.
struct CoreChecker<'a> {
    machine: &'a Machine,
    /// Allowed and pinnable, ascending.
    allowed: Vec<usize>,
    housekeeping: Vec<usize>,
    taken: Vec<usize>,
}

impl<'a> CoreChecker<'a> {
    /// Checks the housekeeping list on the way.
    fn new(machine: &'a Machine, options: &CoreMapOptions) -> Result<Self, PlacementError> {
        let mut allowed = machine.allowed_cpus();
        allowed.retain(|&cpu| cpu < CPU_IDS_MAX);
        let mut checker = Self {
            machine,
            allowed,
            housekeeping: Vec::new(),
            taken: Vec::new(),
        };
        for &core in options.housekeeping.iter().flatten() {
            checker.take("housekeeping", core)?;
        }
        checker.housekeeping = std::mem::take(&mut checker.taken);
        Ok(checker)
    }

    fn take(&mut self, key: &str, core: usize) -> Result<(), PlacementError> {
        let why = if !self.machine.pus().any(|pu| pu.cpu == core) {
            if self.machine.offline.contains(&core) {
                "is offline"
            } else {
                "does not exist on this machine"
            }
        } else if core >= CPU_IDS_MAX {
            "cannot be pinned to"
        } else if !self.allowed.contains(&core) {
            "is not allowed by the affinity mask or cpuset this process was started with"
        } else if self.taken.contains(&core) {
            "is given twice"
        } else if self.housekeeping.contains(&core) {
            "is left for housekeeping"
        } else {
            self.taken.push(core);
            return Ok(());
        };
        Err(error(
            key,
            format!("core {core} {why}"),
            format!("valid are {}", self.valid()),
        ))
    }

    /// What could still be named.
    fn valid(&self) -> String {
        let mut free = self.allowed.clone();
        free.retain(|cpu| !self.taken.contains(cpu) && !self.housekeeping.contains(cpu));
        match free.len() {
            0 => "none: every allowed core has been given".to_owned(),
            _ => format_core_list(&free),
        }
    }

    /// The CPU a shard gets on a physical core, if it may have the core.
    fn first_free(&self, core: &CoreRef<'_>) -> Option<usize> {
        let mut pus = core.core.pus.iter();
        // A shard beside housekeeping on one core would share its time.
        if pus.clone().any(|pu| self.housekeeping.contains(&pu.cpu)) {
            return None;
        }
        pus.find(|pu| pu.allowed && pu.cpu < CPU_IDS_MAX)
            .map(|pu| pu.cpu)
    }
}

fn place_all(
    machine: &Machine,
    cores: &CoreChecker<'_>,
) -> Result<Vec<ShardPlacement>, PlacementError> {
    let all: Vec<_> = machine
        .cores()
        .filter_map(|core| cores.first_free(&core))
        .collect();
    match all.len() {
        0 if cores.allowed.is_empty() => Err(error(
            "cores",
            "no core of this machine is allowed to this process".to_owned(),
            "widen its affinity mask or cpuset".to_owned(),
        )),
        0 => Err(error(
            "housekeeping",
            "no core is left for a shard".to_owned(),
            format!(
                "keep one physical core free of those with CPU {}",
                format_core_list(&cores.allowed)
            ),
        )),
        _ => Ok(all.into_iter().map(plain).collect()),
    }
}

fn place_count(
    machine: &Machine,
    cores: &CoreChecker<'_>,
    count: usize,
) -> Result<Vec<ShardPlacement>, PlacementError> {
    let mut all = place_all(machine, cores)?;
    let available = all.len();
    if count == 0 || count > available {
        let range = match available {
            1 => "1".to_owned(),
            _ => format!("1-{available}"),
        };
        let more = match cores.allowed.len() - cores.housekeeping.len() > available {
            true => format!(
                "; to put shards on SMT siblings too, list the cores, for instance \"{}\"",
                cores.valid()
            ),
            false => String::new(),
        };
        let unpinned = match count {
            0 => "",
            _ => {
                "; more than that run unpinned, taking turns, with `--oversubscribe` \
                 (core_map.oversubscribe = true)"
            }
        };
        return Err(error(
            "cores",
            format!(
                "{count} shards do not fit: a shard gets a physical core of its own and \
                 {available} are free"
            ),
            format!("valid are {range}{more}{unpinned}"),
        ));
    }
    all.truncate(count);
    Ok(all)
}

/// More shards than cores, where that many are asked for.
fn place_unpinned(
    machine: &Machine,
    options: &CoreMapOptions,
    cores: &CoreChecker<'_>,
    count: usize,
) -> Result<Option<Placement>, PlacementError> {
    let all = place_all(machine, cores)?;
    if count <= all.len() {
        return Ok(None);
    }
    if count > OVERSUBSCRIBED_SHARDS_MAX {
        return Err(error(
            "cores",
            format!("{count} shards are too many"),
            format!("valid are 1-{OVERSUBSCRIBED_SHARDS_MAX}"),
        ));
    }
    let wanted: Vec<_> = all.iter().copied().cycle().take(count).collect();
    let mut shards = fill_slots(machine, options, &wanted);
    for shard in &mut shards {
        // None of them is on any core for good.
        shard.shares_core_with = None;
    }
    let note = format!(
        "{count} shards are more than the {} free physical cores: none is pinned, and they take \
         turns; for trying out, not for speed",
        all.len()
    );
    Ok(Some(Placement {
        shards,
        housekeeping: cores.allowed.clone(),
        pinning: Pinning::Off,
        notes: vec![note],
    }))
}

fn place_list(
    mut cores: CoreChecker<'_>,
    list: &[usize],
) -> Result<Vec<ShardPlacement>, PlacementError> {
    if list.is_empty() {
        return Err(error(
            "cores",
            "no core is given".to_owned(),
            format!("valid are {}", cores.valid()),
        ));
    }
    for &core in list {
        cores.take("cores", core)?;
    }
    Ok(list.iter().copied().map(plain).collect())
}

fn place_shards(
    mut cores: CoreChecker<'_>,
    shards: &[ShardPlacement],
) -> Result<Vec<ShardPlacement>, PlacementError> {
    if shards.is_empty() {
        return Err(error(
            "shards",
            "no shard is given".to_owned(),
            format!("valid cores are {}", cores.valid()),
        ));
    }
    for (index, shard) in shards.iter().enumerate() {
        cores.take(&format!("shards[{index}].core"), shard.core)?;
        if let Some(entries) = shard.ring_entries {
            check_ring_entries(&format!("shards[{index}].ring_entries"), entries)?;
        }
        if let Some(spin_us) = shard.spin_us {
            check_spin_us(&format!("shards[{index}].spin_us"), spin_us)?;
        }
    }
    Ok(shards.to_vec())
}

/// A shard with the map's settings.
fn plain(core: usize) -> ShardPlacement {
    ShardPlacement {
        core,
        engine: None,
        ring_entries: None,
        spin_us: None,
    }
}

fn fill_slots(
    machine: &Machine,
    options: &CoreMapOptions,
    wanted: &[ShardPlacement],
) -> Vec<ShardSlot> {
    let place_of = |cpu: usize| {
        machine
            .cores()
            .find(|place| place.core.pus.iter().any(|pu| pu.cpu == cpu))
    };
    let slot = |(index, shard): (usize, &ShardPlacement)| {
        let place = place_of(shard.core)?;
        let is_here = |other: &ShardPlacement| place.core.pus.iter().any(|pu| pu.cpu == other.core);
        Some(ShardSlot {
            index,
            cpu: shard.core,
            numa_node: place.numa_node.os_index,
            package: place.package.os_index,
            shares_core_with: wanted[..index].iter().position(is_here),
            engine: shard.engine.or(options.engine),
            ring_entries: shard.ring_entries.unwrap_or(options.ring_entries),
            spin_us: shard.spin_us.unwrap_or(options.spin_us),
        })
    };
    // Every wanted core has been checked to exist, so none is dropped.
    wanted.iter().enumerate().filter_map(slot).collect()
}

/// Finds room for housekeeping and writes the notes.
fn finish(machine: &Machine, options: &CoreMapOptions, shards: Vec<ShardSlot>) -> Placement {
    let mut notes = Vec::new();
    let sharing: Vec<_> = shards
        .iter()
        .filter(|slot| slot.shares_core_with.is_some())
        .collect();
    if let Some(first) = sharing.first() {
        notes.push(format!(
            "{} of {} shards sit beside another shard on one physical core (the first is shard \
             {} on CPU {}): expect about half a core from each of a pair",
            sharing.len(),
            shards.len(),
            first.index,
            first.cpu
        ));
    }
    let mut housekeeping = options.housekeeping.clone().unwrap_or_default();
    if housekeeping.is_empty() {
        housekeeping = leftovers(machine, &shards, &mut notes);
    }
    housekeeping.sort_unstable();
    let pinning = match options.cores {
        CoreSelection::All | CoreSelection::Count(_) => Pinning::Wanted,
        CoreSelection::List(_) | CoreSelection::Shards(_) => Pinning::Required,
    };
    Placement {
        shards,
        housekeeping,
        pinning,
        notes,
    }
}

/// Where housekeeping goes when the map does not say.
fn leftovers(machine: &Machine, shards: &[ShardSlot], notes: &mut Vec<String>) -> Vec<usize> {
    let has_shard = |cpu: usize| shards.iter().any(|slot| slot.cpu == cpu);
    let free_cpus = |core: CoreRef<'_>| -> Vec<usize> {
        let usable = core
            .core
            .pus
            .iter()
            .filter(|pu| pu.allowed && pu.cpu < CPU_IDS_MAX);
        usable
            .map(|pu| pu.cpu)
            .filter(|&cpu| !has_shard(cpu))
            .collect()
    };
    let is_free = |core: &CoreRef<'_>| !core.core.pus.iter().any(|pu| has_shard(pu.cpu));
    let free_cores: Vec<_> = machine
        .cores()
        .filter(is_free)
        .flat_map(free_cpus)
        .collect();
    if !free_cores.is_empty() {
        return free_cores;
    }
    let siblings: Vec<_> = machine.cores().flat_map(free_cpus).collect();
    if !siblings.is_empty() {
        notes.push(
            "housekeeping runs on the SMT siblings of the shards' cores; leave it a core of its \
             own with `housekeeping` for steadier latency"
                .to_owned(),
        );
        return siblings;
    }
    notes.push(
        "housekeeping shares the shards' cores; leave it a core of its own with `housekeeping` \
         for steadier latency"
            .to_owned(),
    );
    shards.iter().map(|slot| slot.cpu).collect()
}

fn check_ring_entries(key: &str, entries: u32) -> Result<(), PlacementError> {
    if entries.is_power_of_two() && (RING_ENTRIES_MIN..=RING_ENTRIES_MAX).contains(&entries) {
        return Ok(());
    }
    let near = entries
        .clamp(RING_ENTRIES_MIN, RING_ENTRIES_MAX)
        .checked_next_power_of_two()
        .unwrap_or(RING_ENTRIES_MAX);
    Err(error(
        key,
        format!("{entries} ring entries are not possible"),
        format!(
            "valid are the powers of two from {RING_ENTRIES_MIN} to {RING_ENTRIES_MAX}, the \
             nearest is {near}"
        ),
    ))
}

fn check_spin_us(key: &str, spin_us: u32) -> Result<(), PlacementError> {
    if spin_us <= SPIN_US_MAX {
        return Ok(());
    }
    Err(error(
        key,
        format!("{spin_us} µs of spinning are too many"),
        format!("valid are 0-{SPIN_US_MAX}"),
    ))
}

fn error(key: &str, what: String, cure: String) -> PlacementError {
    PlacementError {
        key: key.to_owned(),
        what,
        cure,
    }
}

#[cfg(test)]
mod tests;
