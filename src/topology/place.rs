//! Core map + machine = placement, or an error that says what would be valid.
//!
//! Pure: it reads no file and pins nothing, so a map for a 128-core machine is
//! checked on a laptop. Invariants of every placement: each CPU exists, is
//! allowed, has at most one shard, and is no core left for housekeeping.

use super::core_map::{
    CoreMapOptions, CoreSelection, Placement, PlacementError, ShardPlacement, ShardSlot,
};
use super::format_core_list;
use super::machine::{CoreRef, Machine};
use crate::limits::{CPU_IDS_MAX, RING_ENTRIES_MAX, RING_ENTRIES_MIN, SPIN_US_MAX};

/// Places the shards of a core map on a machine.
///
/// # Errors
///
/// [`PlacementError`], naming the key that is wrong and what would be valid,
/// when a core does not exist, is offline, is not allowed, is given twice or
/// is both a shard's and housekeeping's; when more shards are asked for than
/// there are free physical cores (list the SMT siblings to go beyond); when no
/// shard is left; or when a setting is out of its range.
///
/// ```
/// use corelane::topology::{CoreMapOptions, CoreSelection, Machine, place};
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
        let mut checker = Self { machine, allowed, housekeeping: Vec::new(), taken: Vec::new() };
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
        Err(error(key, format!("core {core} {why}; valid are {}", self.valid())))
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
        pus.find(|pu| pu.allowed && pu.cpu < CPU_IDS_MAX).map(|pu| pu.cpu)
    }
}

fn place_all(
    machine: &Machine,
    cores: &CoreChecker<'_>,
) -> Result<Vec<ShardPlacement>, PlacementError> {
    let all: Vec<_> = machine.cores().filter_map(|core| cores.first_free(&core)).collect();
    match all.len() {
        0 if cores.allowed.is_empty() => {
            Err(error("cores", "no core of this machine is allowed to this process".to_owned()))
        }
        0 => Err(error(
            "housekeeping",
            format!(
                "no core is left for a shard; of the physical cores with {} keep one free",
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
        let range = if available == 1 { "1".to_owned() } else { format!("1-{available}") };
        let has_free_siblings = cores.allowed.len() - cores.housekeeping.len() > available;
        let more = if has_free_siblings {
            "; to put shards on SMT siblings too, list the cores, for instance "
        } else {
            ""
        };
        let list = if has_free_siblings { format!("{:?}", cores.valid()) } else { String::new() };
        return Err(error(
            "cores",
            format!(
                "{count} shards do not fit: a shard gets a physical core of its own and \
                 {available} are free; valid are {range}{more}{list}"
            ),
        ));
    }
    all.truncate(count);
    Ok(all)
}

fn place_list(
    mut cores: CoreChecker<'_>,
    list: &[usize],
) -> Result<Vec<ShardPlacement>, PlacementError> {
    if list.is_empty() {
        return Err(error("cores", format!("no core is given; valid are {}", cores.valid())));
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
        return Err(error("shards", format!("no shard is given; valid cores are {}", cores.valid())));
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
    ShardPlacement { core, engine: None, ring_entries: None, spin_us: None }
}

fn fill_slots(
    machine: &Machine,
    options: &CoreMapOptions,
    wanted: &[ShardPlacement],
) -> Vec<ShardSlot> {
    let place_of = |cpu: usize| {
        machine.cores().find(|place| place.core.pus.iter().any(|pu| pu.cpu == cpu))
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
    let sharing: Vec<_> = shards.iter().filter(|slot| slot.shares_core_with.is_some()).collect();
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
    Placement { shards, housekeeping, notes }
}

/// Where housekeeping goes when the map does not say.
fn leftovers(machine: &Machine, shards: &[ShardSlot], notes: &mut Vec<String>) -> Vec<usize> {
    let has_shard = |cpu: usize| shards.iter().any(|slot| slot.cpu == cpu);
    let free_cpus = |core: CoreRef<'_>| -> Vec<usize> {
        let free = core.core.pus.iter().filter(|pu| pu.allowed && !has_shard(pu.cpu));
        free.map(|pu| pu.cpu).collect()
    };
    let is_free = |core: &CoreRef<'_>| !core.core.pus.iter().any(|pu| has_shard(pu.cpu));
    let free_cores: Vec<_> = machine.cores().filter(is_free).flat_map(free_cpus).collect();
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
        format!(
            "{entries} ring entries are not possible; valid are the powers of two from \
             {RING_ENTRIES_MIN} to {RING_ENTRIES_MAX}, the nearest is {near}"
        ),
    ))
}

fn check_spin_us(key: &str, spin_us: u32) -> Result<(), PlacementError> {
    if spin_us <= SPIN_US_MAX {
        return Ok(());
    }
    Err(error(key, format!("{spin_us} µs of spinning are too many; valid are 0-{SPIN_US_MAX}")))
}

fn error(key: &str, message: String) -> PlacementError {
    PlacementError { key: key.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::super::core_map::EngineKind;
    use super::super::fixtures::{RecordedTree, OFFLINE, uniform_machine};
    use super::super::sysfs;
    use super::*;
    use proptest::prelude::*;

    fn options(cores: CoreSelection) -> CoreMapOptions {
        CoreMapOptions { cores, ..CoreMapOptions::default() }
    }

    fn cpus(placement: &Placement) -> Vec<usize> {
        placement.shards.iter().map(|slot| slot.cpu).collect()
    }

    /// `key: message` of a map that does not fit.
    fn refusal(machine: &Machine, options: &CoreMapOptions) -> String {
        place(machine, options).unwrap_err().to_string()
    }

    #[test]
    fn all_gives_two_cores_two_shards_and_says_that_housekeeping_shares() {
        let machine = uniform_machine(1, 1, 1, 2, 1);
        let placement = place(&machine, &options(CoreSelection::All)).unwrap();
        assert_eq!(cpus(&placement), [0, 1]);
        assert_eq!(placement.housekeeping, [0, 1]);
        assert!(placement.notes[0].contains("shares the shards' cores"), "{:?}", placement.notes);
    }

    #[test]
    fn all_is_one_shard_per_physical_core_and_housekeeping_gets_the_siblings() {
        let machine = uniform_machine(1, 1, 1, 4, 2);
        let placement = place(&machine, &options(CoreSelection::All)).unwrap();
        assert_eq!(cpus(&placement), [0, 1, 2, 3]);
        assert_eq!(placement.housekeeping, [4, 5, 6, 7]);
        assert!(placement.notes[0].contains("SMT siblings"), "{:?}", placement.notes);
    }

    #[test]
    fn cores_left_for_housekeeping_get_no_shard_on_any_thread() {
        let machine = uniform_machine(1, 1, 1, 4, 2);
        let mut map = options(CoreSelection::All);
        map.housekeeping = Some(vec![4]);
        let placement = place(&machine, &map).unwrap();
        assert_eq!(cpus(&placement), [1, 2, 3]);
        assert_eq!(placement.housekeeping, [4]);
        assert_eq!(placement.notes, [""; 0]);
    }

    #[test]
    fn a_count_fills_one_l3_after_the_other_and_leaves_the_rest() {
        let machine = uniform_machine(2, 2, 2, 2, 2);
        let placement = place(&machine, &options(CoreSelection::Count(6))).unwrap();
        assert_eq!(cpus(&placement), [0, 1, 2, 3, 4, 5]);
        let nodes: Vec<_> = placement.shards.iter().map(|slot| slot.numa_node).collect();
        assert_eq!(nodes, [Some(0), Some(0), Some(0), Some(0), Some(1), Some(1)]);
        assert!(placement.shards.iter().all(|slot| slot.package == 0));
        // Ten free cores, both threads of each.
        assert_eq!(placement.housekeeping.len(), 20);
        assert_eq!(placement.notes, [""; 0]);
    }

    #[test]
    fn a_count_that_does_not_fit_is_refused_with_what_fits() {
        let two = uniform_machine(1, 1, 1, 2, 1);
        let text = refusal(&two, &options(CoreSelection::Count(3)));
        assert_eq!(
            text,
            "cores: 3 shards do not fit: a shard gets a physical core of its own and 2 are free; \
             valid are 1-2"
        );
        assert!(refusal(&two, &options(CoreSelection::Count(0))).ends_with("valid are 1-2"));
        let smt = uniform_machine(1, 1, 1, 2, 2);
        let text = refusal(&smt, &options(CoreSelection::Count(3)));
        assert!(text.ends_with("valid are 1-2; to put shards on SMT siblings too, list the cores, for instance \"0-3\""), "{text}");
    }

    #[test]
    fn a_list_keeps_its_order_and_may_name_siblings() {
        let machine = uniform_machine(1, 1, 1, 4, 2);
        let placement = place(&machine, &options(CoreSelection::List(vec![6, 2, 0]))).unwrap();
        assert_eq!(cpus(&placement), [6, 2, 0]);
        let shares: Vec<_> = placement.shards.iter().map(|slot| slot.shares_core_with).collect();
        assert_eq!(shares, [None, Some(0), None]);
        assert!(placement.notes[0].starts_with("1 of 3 shards"), "{:?}", placement.notes);
        assert_eq!(placement.housekeeping, [1, 3, 5, 7]);
    }

    #[test]
    fn a_core_that_cannot_be_given_is_refused_with_the_ones_that_can() {
        let mut machine = uniform_machine(1, 1, 1, 4, 1);
        machine.allow_only(&[0, 1, 2]);
        let mut map = options(CoreSelection::List(vec![9]));
        assert_eq!(
            refusal(&machine, &map),
            "cores: core 9 does not exist on this machine; valid are 0-2"
        );
        map.cores = CoreSelection::List(vec![0, 1, 0]);
        assert_eq!(refusal(&machine, &map), "cores: core 0 is given twice; valid are 2");
        map.cores = CoreSelection::List(vec![3]);
        let text = refusal(&machine, &map);
        assert!(text.starts_with("cores: core 3 is not allowed") && text.ends_with("valid are 0-2"));
        map.housekeeping = Some(vec![1]);
        map.cores = CoreSelection::List(vec![0, 1]);
        assert_eq!(refusal(&machine, &map), "cores: core 1 is left for housekeeping; valid are 2");
        map.cores = CoreSelection::List(vec![]);
        assert_eq!(refusal(&machine, &map), "cores: no core is given; valid are 0,2");
        map.housekeeping = Some(vec![1, 7]);
        assert!(refusal(&machine, &map).starts_with("housekeeping: core 7 does not exist"));
    }

    #[test]
    fn an_offline_core_is_called_offline() {
        let tree = RecordedTree::unpack(OFFLINE);
        let machine = sysfs::read(&tree.system()).unwrap();
        let text = refusal(&machine, &options(CoreSelection::List(vec![4, 22])));
        assert_eq!(text, "cores: core 22 is offline; valid are 5-20");
        let all = place(&machine, &options(CoreSelection::All)).unwrap();
        assert_eq!(all.shards.len(), 17);
        assert_eq!((all.shards[0].cpu, all.shards[0].numa_node), (4, None));
        assert_eq!((all.shards[9].cpu, all.shards[9].numa_node), (5, Some(1)));
    }

    #[test]
    fn no_core_left_for_a_shard_names_the_key_that_took_them() {
        let mut machine = uniform_machine(1, 1, 1, 2, 1);
        let mut map = options(CoreSelection::All);
        map.housekeeping = Some(vec![0, 1]);
        let text = refusal(&machine, &map);
        assert!(text.starts_with("housekeeping: no core is left for a shard"), "{text}");
        machine.allow_only(&[]);
        assert!(refusal(&machine, &options(CoreSelection::All)).starts_with("cores: no core"));
    }

    #[test]
    fn every_shard_may_have_its_own_settings() {
        let machine = uniform_machine(1, 1, 1, 4, 1);
        let tuned = ShardPlacement {
            core: 3,
            engine: Some(EngineKind::Epoll),
            ring_entries: Some(256),
            spin_us: Some(50),
        };
        let map = CoreMapOptions {
            cores: CoreSelection::Shards(vec![tuned, plain(1)]),
            engine: Some(EngineKind::IoUring),
            spin_us: 7,
            ..CoreMapOptions::default()
        };
        let shards = place(&machine, &map).unwrap().shards;
        let settings = |slot: &ShardSlot| (slot.cpu, slot.engine, slot.ring_entries, slot.spin_us);
        assert_eq!(settings(&shards[0]), (3, Some(EngineKind::Epoll), 256, 50));
        assert_eq!(settings(&shards[1]), (1, Some(EngineKind::IoUring), 1_024, 7));
    }

    #[test]
    fn settings_out_of_range_are_refused_under_their_own_key() {
        let machine = uniform_machine(1, 1, 1, 4, 1);
        for (entries, near) in [(0, 16), (1_000, 1_024), (u32::MAX, 32_768)] {
            let map = CoreMapOptions { ring_entries: entries, ..CoreMapOptions::default() };
            let text = refusal(&machine, &map);
            assert!(text.starts_with("ring_entries: ") && text.ends_with(&format!("is {near}")));
        }
        let map = CoreMapOptions { spin_us: SPIN_US_MAX + 1, ..CoreMapOptions::default() };
        assert!(refusal(&machine, &map).starts_with("spin_us: 10001 µs"));
        let shard = |core| ShardPlacement { ring_entries: Some(100), ..plain(core) };
        let map = options(CoreSelection::Shards(vec![plain(0), shard(1)]));
        assert!(refusal(&machine, &map).starts_with("shards[1].ring_entries: 100 "));
        let map = options(CoreSelection::Shards(vec![plain(0), plain(0)]));
        assert!(refusal(&machine, &map).starts_with("shards[1].core: core 0 is given twice"));
        let map = options(CoreSelection::Shards(vec![]));
        assert!(refusal(&machine, &map).starts_with("shards: no shard"));
    }

    #[test]
    fn cpu_ids_over_the_mask_are_never_given() {
        // 1,024 cores of two threads: the siblings are over the mask.
        let machine = uniform_machine(2, 1, 32, 16, 2);
        let placement = place(&machine, &options(CoreSelection::All)).unwrap();
        assert_eq!(placement.shards.len(), 1_024);
        let text = refusal(&machine, &options(CoreSelection::List(vec![1_024])));
        assert!(text.starts_with("cores: core 1024 cannot be pinned to; valid are 0-1023"), "{text}");
        assert!(placement.housekeeping.iter().all(|&cpu| cpu < CPU_IDS_MAX));
    }

    proptest! {
        #[test]
        fn every_placement_keeps_the_invariants(
            shape in (1..3_usize, 1..3_usize, 1..3_usize, 1..4_usize, 1..3_usize),
            allowed in proptest::collection::vec(0..40_usize, 0..40),
            housekeeping in proptest::option::of(proptest::collection::vec(0..40_usize, 0..4)),
            list in proptest::collection::vec(0..40_usize, 0..6),
            kind in 0..3_u8,
            count in 0..12_usize,
        ) {
            let mut machine = uniform_machine(shape.0, shape.1, shape.2, shape.3, shape.4);
            machine.allow_only(&allowed);
            let cores = match kind {
                0 => CoreSelection::All,
                1 => CoreSelection::Count(count),
                _ => CoreSelection::List(list),
            };
            let map = CoreMapOptions { cores, housekeeping, ..CoreMapOptions::default() };
            let Ok(placement) = place(&machine, &map) else { return Ok(()) };
            let given = cpus(&placement);
            let distinct: std::collections::BTreeSet<_> = given.iter().collect();
            prop_assert_eq!(distinct.len(), given.len());
            prop_assert!(!given.is_empty() && !placement.housekeeping.is_empty());
            let usable = machine.allowed_cpus();
            prop_assert!(given.iter().all(|cpu| usable.contains(cpu)));
            prop_assert!(placement.housekeeping.iter().all(|cpu| usable.contains(cpu)));
            let named = map.housekeeping.unwrap_or_default();
            prop_assert!(given.iter().all(|cpu| !named.contains(cpu)));
            if kind == 1 {
                prop_assert_eq!(given.len(), count);
            }
        }
    }
}
