//! The protocol's stories, each told once: two or three shards, messages
//! delivered by hand. `tests/sim` and `tests/model` look for the others.

mod world;

use world::{World, until};

use super::{
    Answer, FromHome, Hit, LoadId, Outcome, Replica, ToHome, ValueSource, WaitId, WriteId,
    WriteMode, WriteOutcome,
};

const KEY: u32 = 0;

fn value(value: u32) -> Outcome<u32, &'static str> {
    Outcome::Value(replica(value))
}

fn replica(value: u32) -> Replica<u32> {
    Replica {
        value,
        freshness: until(1_000),
    }
}

fn lead(answer: Option<Answer<u32, &'static str>>) -> LoadId {
    match answer {
        Some(Answer::Lead { load, .. }) => load,
        other => panic!("a load to lead, not {other:?}"),
    }
}

fn granted(answer: Option<Answer<u32, &'static str>>) -> WriteId {
    match answer {
        Some(Answer::Granted(write)) => write,
        other => panic!("a lease, not {other:?}"),
    }
}

/// Shard 1 has loaded 7, shards 1 and 2 have copies; the home is shard 0.
fn shared_copy() -> World {
    let mut world = World::new(3);
    world.read(1, KEY, WaitId(1));
    world.deliver_all();
    let load = lead(world.answer(1, WaitId(1)));
    world.shards[1].holder.finish_load(load, value(7));
    world.deliver_all();
    world.read(2, KEY, WaitId(2));
    world.deliver_all();
    let from_home = Answer::Value {
        replica: replica(7),
        source: ValueSource::Home,
    };
    assert_eq!(world.answer(2, WaitId(2)), Some(from_home));
    world
}

#[test]
fn the_first_reader_loads_and_the_others_find_it() {
    let mut world = shared_copy();
    for shard in [1, 2] {
        assert_eq!(world.look_up(shard, KEY), Some((Hit::Fresh, 7)));
    }
    assert_eq!(
        world.look_up(0, KEY),
        None,
        "nobody asked on the home itself"
    );
    world.now_ms = 1_000;
    assert_eq!(world.look_up(1, KEY), None, "expired");
}

#[test]
fn readers_of_a_shard_share_a_request_and_those_of_all_shards_a_load() {
    let mut world = World::new(3);
    for (shard, wait) in [(1, 1), (1, 2), (2, 3)] {
        world.read(shard, KEY, WaitId(wait));
    }
    assert_eq!(world.in_flight(1, 0), 1, "two readers, one request");
    world.deliver_all();
    let load = lead(world.answer(1, WaitId(1)));
    assert_eq!(world.answer(2, WaitId(3)), None, "it waits for the load");
    world.shards[1].holder.finish_load(load, value(7));
    world.deliver_all();
    for (shard, wait) in [(1, 2), (2, 3)] {
        let answer = world.answer(shard, WaitId(wait));
        assert!(
            matches!(&answer, Some(Answer::Value { replica, .. }) if replica.value == 7),
            "{answer:?}"
        );
    }
}

#[test]
fn a_write_is_granted_when_every_copy_is_gone() {
    let mut world = shared_copy();
    world.write(0, KEY, WriteMode::Exclusive, WaitId(9));
    world.settle_loopback(0);
    world.deliver(0, 1);
    assert_eq!(world.look_up(1, KEY), None);
    world.deliver(1, 0);
    assert_eq!(world.answer(0, WaitId(9)), None, "shard 2 has not answered");
    world.deliver_all();
    let write = granted(world.answer(0, WaitId(9)));
    world.read(2, KEY, WaitId(3));
    world.deliver_all();
    assert_eq!(
        world.answer(2, WaitId(3)),
        None,
        "readers wait for the write"
    );
    world.shards[0]
        .holder
        .finish_write(write, WriteOutcome::Done(Some(replica(8))));
    world.deliver_all();
    let answer = world.answer(2, WaitId(3));
    assert!(matches!(&answer, Some(Answer::Value { replica, .. }) if replica.value == 8));
}

#[test]
fn a_load_that_raced_with_a_write_is_kept_by_nobody() {
    let mut world = World::new(3);
    world.read(1, KEY, WaitId(1));
    world.read(2, KEY, WaitId(2));
    world.deliver_all();
    let load = lead(world.answer(1, WaitId(1)));
    world.write(2, KEY, WriteMode::Exclusive, WaitId(3));
    world.deliver_all();
    let write = granted(world.answer(2, WaitId(3)));
    // Who asks now must not get what was read before the write.
    world.read(2, KEY, WaitId(4));
    world.shards[2]
        .holder
        .finish_write(write, WriteOutcome::Done(None));
    world.deliver_all();
    world.shards[1].holder.finish_load(load, value(7));
    world.deliver_all();
    let early = world.answer(2, WaitId(2));
    assert!(matches!(&early, Some(Answer::Value { replica, .. }) if replica.value == 7));
    lead(world.answer(2, WaitId(4)));
    for shard in 0..3 {
        assert_eq!(world.look_up(shard, KEY), None);
    }
}

#[test]
fn a_load_that_is_given_up_goes_to_the_next_in_line() {
    let mut world = World::new(3);
    world.read(1, KEY, WaitId(1));
    world.read(2, KEY, WaitId(2));
    world.deliver_all();
    let load = lead(world.answer(1, WaitId(1)));
    world.shards[1].holder.finish_load(load, Outcome::Abandoned);
    world.deliver_all();
    let load = lead(world.answer(2, WaitId(2)));
    world.shards[2]
        .holder
        .finish_load(load, Outcome::Failed("no"));
    world.deliver_all();
    assert!(world.is_quiet());
}

#[test]
fn writers_of_a_tag_do_not_wait_for_each_other_and_readers_not_for_them() {
    let mut world = shared_copy();
    world.write(1, KEY, WriteMode::Shared, WaitId(5));
    world.write(2, KEY, WriteMode::Shared, WaitId(6));
    world.deliver_all();
    let writes = [
        granted(world.answer(1, WaitId(5))),
        granted(world.answer(2, WaitId(6))),
    ];
    world.read(0, KEY, WaitId(7));
    world.deliver_all();
    let answer = world.answer(0, WaitId(7));
    assert!(
        matches!(answer, Some(Answer::Lead { keeps: false, .. })),
        "{answer:?}"
    );
    world.shards[0].holder.finish_load(lead(answer), value(7));
    for (shard, write) in [(1, writes[0]), (2, writes[1])] {
        world.shards[shard]
            .holder
            .finish_write(write, WriteOutcome::Done(None));
    }
    world.deliver_all();
    assert_eq!(world.look_up(0, KEY), None);
    assert!(world.is_quiet());
}

#[test]
fn an_invalidation_does_not_keep_writers_of_a_tag_from_each_other() {
    let mut world = shared_copy();
    world.write(1, KEY, WriteMode::Shared, WaitId(10));
    world.deliver(1, 0);
    // Copies are being called in.
    let now_ms = world.now_ms;
    let invalidator = &mut world.shards[2].holder;
    invalidator.invalidate(KEY, 0, Some(WaitId(11)), now_ms);
    world.write(2, KEY, WriteMode::Shared, WaitId(12));
    world.deliver_all();
    // Neither gives its lease back before it has another that the other holds.
    let writes = [(1, WaitId(10)), (2, WaitId(12))]
        .map(|(shard, wait)| (shard, granted(world.answer(shard, wait))));
    assert_eq!(world.answer(2, WaitId(11)), Some(Answer::Invalidated(None)));
    for (shard, write) in writes {
        let nothing = WriteOutcome::Done(None);
        world.shards[shard].holder.finish_write(write, nothing);
    }
    world.deliver_all();
    assert!(world.is_quiet());
}

#[test]
fn a_write_in_doubt_keeps_its_key_out_of_the_cache_for_a_while() {
    let mut world = World::new(2);
    world.write(1, KEY, WriteMode::Exclusive, WaitId(1));
    world.deliver_all();
    let write = granted(world.answer(1, WaitId(1)));
    world.shards[1]
        .holder
        .finish_write(write, WriteOutcome::InDoubt);
    world.deliver_all();
    for (now_ms, is_kept) in [
        (0, false),
        (world::DOUBT_MS - 1, false),
        (world::DOUBT_MS, true),
    ] {
        world.now_ms = now_ms;
        world.read(1, KEY, WaitId(2));
        world.deliver_all();
        let answer = world.answer(1, WaitId(2));
        assert!(
            matches!(&answer, Some(Answer::Lead { keeps, .. }) if *keeps == is_kept),
            "{now_ms}: {answer:?}"
        );
        world.shards[1]
            .holder
            .finish_load(lead(answer), Outcome::Abandoned);
        world.deliver_all();
    }
}

#[test]
fn the_successor_of_a_dead_home_learns_of_writes_before_it_serves() {
    let mut world = shared_copy();
    world.write(1, KEY, WriteMode::Exclusive, WaitId(5));
    world.deliver_all();
    let write = granted(world.answer(1, WaitId(5)));
    world.restart(0);
    assert!(!world.shards[0].home.is_ready());
    world.deliver_all();
    assert!(world.shards[0].home.is_ready());
    assert_eq!(
        world.look_up(2, KEY),
        None,
        "its directory is gone, so its copies are"
    );
    world.now_ms = world::DOUBT_MS;
    world.read(2, KEY, WaitId(6));
    world.deliver_all();
    assert_eq!(world.answer(2, WaitId(6)), None, "the write goes on");
    world.shards[1]
        .holder
        .finish_write(write, WriteOutcome::Done(None));
    world.deliver_all();
    lead(world.answer(2, WaitId(6)));
}

#[test]
fn a_lease_nobody_waits_for_any_more_goes_back() {
    let mut world = World::new(2);
    world.write(1, KEY, WriteMode::Exclusive, WaitId(1));
    world.shards[1].holder.cancel_wait(WaitId(1));
    world.deliver_all();
    assert!(world.is_quiet());
    world.write(0, KEY, WriteMode::Exclusive, WaitId(2));
    world.deliver_all();
    granted(world.answer(0, WaitId(2)));
}

#[test]
fn an_invalidation_answers_what_there_was_and_a_flush_drops_all() {
    let mut world = shared_copy();
    let now_ms = world.now_ms;
    world.shards[1]
        .holder
        .invalidate(KEY, 0, Some(WaitId(5)), now_ms);
    world.deliver_all();
    assert_eq!(
        world.answer(1, WaitId(5)),
        Some(Answer::Invalidated(Some(replica(7))))
    );
    assert_eq!(world.look_up(2, KEY), None);

    let mut world = shared_copy();
    world.shards[2].holder.flush(0, WaitId(5), now_ms);
    world.deliver_all();
    assert_eq!(world.answer(2, WaitId(5)), Some(Answer::Flushed));
    for shard in 0..3 {
        assert_eq!(world.look_up(shard, KEY), None);
    }
    assert!(world.is_quiet());
}

#[test]
fn late_words_change_nothing() {
    let mut world = shared_copy();
    let home = &mut world.shards[0].home;
    home.on_message(1, ToHome::Ack { key: KEY }, 0);
    home.on_message(1, ToHome::AckAll, 0);
    let holder = &mut world.shards[1].holder;
    let stray = FromHome::Bypass {
        ticket: super::RequestTicket(999),
    };
    holder.on_message(0, stray, 0);
    holder.finish_load(LoadId(999), Outcome::Abandoned);
    holder.finish_write(WriteId(999), WriteOutcome::InDoubt);
    world.deliver_all();
    assert_eq!(world.look_up(2, KEY), Some((Hit::Fresh, 7)));
    assert!(world.is_quiet());
}

#[test]
fn copies_of_another_era_are_not_served_and_stand_in_on_error() {
    let mut world = World::new(2);
    let enter = |world: &mut World, era| {
        for shard in &mut world.shards {
            shard.holder.set_era(era);
            shard.home.set_era(era);
        }
    };
    let load_in = |world: &mut World, wait, era, outcome: Option<u32>| {
        world.read(1, KEY, wait);
        world.deliver_all();
        let load = lead(world.answer(1, wait));
        let outcome = match outcome {
            Some(value) => {
                let mut replica = replica(value);
                replica.freshness.era = era;
                Outcome::Value(replica)
            }
            None => Outcome::Failed("away"),
        };
        world.shards[1].holder.finish_load(load, outcome);
        world.deliver_all();
    };
    enter(&mut world, 2);
    load_in(&mut world, WaitId(1), 2, Some(7));
    assert!(world.shards[1].holder.look_up(&KEY, 10).is_some());
    // Cut: the copy is there, and is no answer any more.
    enter(&mut world, 3);
    assert_eq!(world.shards[1].holder.look_up(&KEY, 10), None);
    load_in(&mut world, WaitId(2), 3, Some(8));
    assert_eq!(world.shards[1].holder.look_up(&KEY, 10), None);
    // Running again: what was loaded during the cut is not good either.
    enter(&mut world, 4);
    world.read(1, KEY, WaitId(3));
    world.deliver_all();
    let Some(Answer::Lead { load, stale, .. }) = world.answer(1, WaitId(3)) else {
        panic!("a load to lead");
    };
    assert_eq!(stale.map(|replica| replica.value), Some(8));
    world.shards[1]
        .holder
        .finish_load(load, Outcome::Failed("away"));
    world.deliver_all();
    load_in(&mut world, WaitId(4), 4, Some(9));
    let found = world.shards[1].holder.look_up(&KEY, 10);
    assert_eq!(found.map(|(_, replica)| replica.value), Some(9));
}

#[test]
fn a_reader_is_not_answered_with_a_load_of_an_earlier_era() {
    for reader in [1, 2] {
        let mut world = World::new(3);
        let enter = |world: &mut World, era| {
            for shard in &mut world.shards {
                shard.holder.set_era(era);
                shard.home.set_era(era);
            }
        };
        let of_era = |value, era| {
            let mut replica = replica(value);
            replica.freshness.era = era;
            Outcome::Value(replica)
        };
        enter(&mut world, 2);
        world.read(1, KEY, WaitId(1));
        world.deliver_all();
        let old = lead(world.answer(1, WaitId(1)));
        // Rows were changed elsewhere, and more than are worth naming.
        enter(&mut world, 4);
        world.read(reader, KEY, WaitId(2));
        world.deliver_all();
        let new = lead(world.answer(reader, WaitId(2)));
        // Late, the old one is nobody's any more.
        let holder = &mut world.shards[1].holder;
        holder.finish_load(old, of_era(7, 2));
        world.deliver_all();
        world.read(0, KEY, WaitId(3));
        world.deliver_all();
        let holder = &mut world.shards[reader].holder;
        holder.finish_load(new, of_era(8, 4));
        world.deliver_all();
        let answer = world.answer(0, WaitId(3));
        let Some(Answer::Value { replica, .. }) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(replica.value, 8);
        assert_eq!(world.look_up(reader, KEY), Some((Hit::Fresh, 8)));
        assert!(world.is_quiet());
    }
}
