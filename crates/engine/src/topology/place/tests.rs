//! What every kind of core map gives, or is refused with.

use super::*;
use crate::EngineKind;
use crate::topology::fixtures::{OFFLINE, RecordedTree};
use crate::topology::sysfs;
use proptest::prelude::*;

fn options(cores: CoreSelection) -> CoreMapOptions {
    CoreMapOptions {
        cores,
        ..CoreMapOptions::default()
    }
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
    let machine = Machine::uniform(1, 1, 1, 2, 1);
    let placement = place(&machine, &options(CoreSelection::All)).unwrap();
    assert_eq!(cpus(&placement), [0, 1]);
    assert_eq!(placement.housekeeping, [0, 1]);
    assert!(
        placement.notes[0].contains("shares the shards' cores"),
        "{:?}",
        placement.notes
    );
}

#[test]
fn all_is_one_shard_per_physical_core_and_housekeeping_gets_the_siblings() {
    let machine = Machine::uniform(1, 1, 1, 4, 2);
    let placement = place(&machine, &options(CoreSelection::All)).unwrap();
    assert_eq!(cpus(&placement), [0, 1, 2, 3]);
    assert_eq!(placement.housekeeping, [4, 5, 6, 7]);
    assert!(
        placement.notes[0].contains("SMT siblings"),
        "{:?}",
        placement.notes
    );
}

#[test]
fn cores_left_for_housekeeping_get_no_shard_on_any_thread() {
    let machine = Machine::uniform(1, 1, 1, 4, 2);
    let mut map = options(CoreSelection::All);
    map.housekeeping = Some(vec![4]);
    let placement = place(&machine, &map).unwrap();
    assert_eq!(cpus(&placement), [1, 2, 3]);
    assert_eq!(placement.housekeeping, [4]);
    assert_eq!(placement.notes, [""; 0]);
}

#[test]
fn a_count_fills_one_l3_after_the_other_and_leaves_the_rest() {
    let machine = Machine::uniform(2, 2, 2, 2, 2);
    let placement = place(&machine, &options(CoreSelection::Count(6))).unwrap();
    assert_eq!(cpus(&placement), [0, 1, 2, 3, 4, 5]);
    let nodes: Vec<_> = placement.shards.iter().map(|slot| slot.numa_node).collect();
    assert_eq!(
        nodes,
        [Some(0), Some(0), Some(0), Some(0), Some(1), Some(1)]
    );
    assert!(placement.shards.iter().all(|slot| slot.package == 0));
    // Ten free cores, both threads of each.
    assert_eq!(placement.housekeeping.len(), 20);
    assert_eq!(placement.notes, [""; 0]);
}

#[test]
fn a_count_that_does_not_fit_is_refused_with_what_fits() {
    let two = Machine::uniform(1, 1, 1, 2, 1);
    let text = refusal(&two, &options(CoreSelection::Count(3)));
    assert_eq!(
        text,
        "cores: 3 shards do not fit: a shard gets a physical core of its own and 2 are free; \
         valid are 1-2; more than that run unpinned, taking turns, with `--oversubscribe` \
         (core_map.oversubscribe = true)"
    );
    assert!(refusal(&two, &options(CoreSelection::Count(0))).ends_with("valid are 1-2"));
    let smt = Machine::uniform(1, 1, 1, 2, 2);
    let text = refusal(&smt, &options(CoreSelection::Count(3)));
    assert!(
        text.ends_with(
            "valid are 1-2; to put shards on SMT siblings too, list the cores, for instance \"0-3\"; \
             more than that run unpinned, taking turns, with `--oversubscribe` \
             (core_map.oversubscribe = true)"
        ),
        "{text}"
    );
}

#[test]
fn a_list_keeps_its_order_and_may_name_siblings() {
    let machine = Machine::uniform(1, 1, 1, 4, 2);
    let placement = place(&machine, &options(CoreSelection::List(vec![6, 2, 0]))).unwrap();
    assert_eq!(cpus(&placement), [6, 2, 0]);
    let shares: Vec<_> = placement
        .shards
        .iter()
        .map(|slot| slot.shares_core_with)
        .collect();
    assert_eq!(shares, [None, Some(0), None]);
    assert!(
        placement.notes[0].starts_with("1 of 3 shards"),
        "{:?}",
        placement.notes
    );
    assert_eq!(placement.housekeeping, [1, 3, 5, 7]);
}

#[test]
fn a_core_that_cannot_be_given_is_refused_with_the_ones_that_can() {
    let mut machine = Machine::uniform(1, 1, 1, 4, 1);
    machine.allow_only(&[0, 1, 2]);
    let mut map = options(CoreSelection::List(vec![9]));
    assert_eq!(
        refusal(&machine, &map),
        "cores: core 9 does not exist on this machine; valid are 0-2"
    );
    map.cores = CoreSelection::List(vec![0, 1, 0]);
    assert_eq!(
        refusal(&machine, &map),
        "cores: core 0 is given twice; valid are 2"
    );
    map.cores = CoreSelection::List(vec![3]);
    let text = refusal(&machine, &map);
    assert!(text.starts_with("cores: core 3 is not allowed") && text.ends_with("valid are 0-2"));
    map.housekeeping = Some(vec![1]);
    map.cores = CoreSelection::List(vec![0, 1]);
    assert_eq!(
        refusal(&machine, &map),
        "cores: core 1 is left for housekeeping; valid are 2"
    );
    map.cores = CoreSelection::List(vec![]);
    assert_eq!(
        refusal(&machine, &map),
        "cores: no core is given; valid are 0,2"
    );
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
    let mut machine = Machine::uniform(1, 1, 1, 2, 1);
    let mut map = options(CoreSelection::All);
    map.housekeeping = Some(vec![0, 1]);
    let text = refusal(&machine, &map);
    assert!(
        text.starts_with("housekeeping: no core is left for a shard"),
        "{text}"
    );
    machine.allow_only(&[]);
    assert!(refusal(&machine, &options(CoreSelection::All)).starts_with("cores: no core"));
}

#[test]
fn every_shard_may_have_its_own_settings() {
    let machine = Machine::uniform(1, 1, 1, 4, 1);
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
    assert_eq!(
        settings(&shards[1]),
        (1, Some(EngineKind::IoUring), 1_024, 7)
    );
}

#[test]
fn settings_out_of_range_are_refused_under_their_own_key() {
    let machine = Machine::uniform(1, 1, 1, 4, 1);
    for (entries, near) in [(0, 256), (1_000, 1_024), (u32::MAX, 32_768)] {
        let map = CoreMapOptions {
            ring_entries: entries,
            ..CoreMapOptions::default()
        };
        let text = refusal(&machine, &map);
        assert!(text.starts_with("ring_entries: ") && text.ends_with(&format!("is {near}")));
    }
    let map = CoreMapOptions {
        spin_us: SPIN_US_MAX + 1,
        ..CoreMapOptions::default()
    };
    assert!(refusal(&machine, &map).starts_with("spin_us: 10001 µs"));
    let shard = |core| ShardPlacement {
        ring_entries: Some(100),
        ..plain(core)
    };
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
    let machine = Machine::uniform(2, 1, 32, 16, 2);
    let placement = place(&machine, &options(CoreSelection::All)).unwrap();
    assert_eq!(placement.shards.len(), 1_024);
    let text = refusal(&machine, &options(CoreSelection::List(vec![1_024])));
    assert!(
        text.starts_with("cores: core 1024 cannot be pinned to; valid are 0-1023"),
        "{text}"
    );
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
        let mut machine = Machine::uniform(shape.0, shape.1, shape.2, shape.3, shape.4);
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

#[test]
fn more_shards_than_cores_are_placed_unpinned_when_allowed() {
    let machine = Machine::uniform(1, 1, 1, 2, 1);
    let mut options = options(CoreSelection::Count(5));
    options.oversubscribe = true;
    let placement = place(&machine, &options).unwrap();
    let cpus: Vec<_> = placement.shards.iter().map(|slot| slot.cpu).collect();
    assert_eq!(cpus, [0, 1, 0, 1, 0]);
    assert_eq!(placement.pinning, Pinning::Off);
    assert_eq!(placement.housekeeping, [0, 1]);
    assert!(
        placement.notes[0].contains("take turns"),
        "{:?}",
        placement.notes
    );
    // As ever where they fit, whatever is allowed.
    options.cores = CoreSelection::Count(2);
    assert_eq!(place(&machine, &options).unwrap().pinning, Pinning::Wanted);
    options.cores = CoreSelection::List(vec![0]);
    assert_eq!(
        place(&machine, &options).unwrap().pinning,
        Pinning::Required
    );
    options.cores = CoreSelection::Count(100_000);
    let refused = place(&machine, &options).unwrap_err();
    assert!(refused.cure.contains("1-256"), "{refused}");
}
