//! Rare interleavings that the simulation has found once, at any hour: told to
//! a home directly, so that they are looked at in every run.

use corelane_proto::coherence::{FromHome, Home, Request, RequestTicket, Sound, ToHome};

use crate::entry_store::SmallStore;
use crate::world::SimHome;

const DOUBT_MS: u64 = 100;

/// The second incarnation of shard 0, started at 1,000 ms; 1 and 2 are its
/// peers.
fn successor() -> SimHome<Sound> {
    let peers = [1, 2].into_iter().collect();
    Home::new(0, peers, 1, SmallStore::new(4), DOUBT_MS, 1_000)
}

fn say_hello(home: &mut SimHome<Sound>, from: usize, now_ms: u64) {
    home.on_message(from, ToHome::Hello { writes: vec![] }, now_ms);
}

/// Whether a read of shard 2 is told to load for itself, not for others.
fn is_bypassed(home: &mut SimHome<Sound>, ticket: u64, now_ms: u64) -> bool {
    let read = Request::Read {
        key: 0,
        ticket: RequestTicket(ticket),
        refresh: false,
    };
    home.on_request(2, read, now_ms);
    let (_, answer) = home.poll_output().expect("an answer");
    match answer {
        FromHome::Bypass { .. } => true,
        FromHome::Load { .. } => false,
        other => panic!("{other:?}"),
    }
}

/// The end of a write that peer 1 dropped before its hello went to the
/// predecessor and was lost; the write may still happen.
#[test]
fn a_successor_doubts_from_its_last_hello() {
    let mut home = successor();
    say_hello(&mut home, 2, 1_010);
    say_hello(&mut home, 1, 1_090);
    assert!(is_bypassed(&mut home, 1, 1_189));
    assert!(!is_bypassed(&mut home, 2, 1_190));
}

/// Peer 1 dies before its hello, with a write under the predecessor's lease.
#[test]
fn a_successor_doubts_from_the_death_of_a_silent_peer() {
    let mut home = successor();
    say_hello(&mut home, 2, 1_010);
    home.peer_down(1, 1_090);
    assert!(is_bypassed(&mut home, 1, 1_189));
    assert!(!is_bypassed(&mut home, 2, 1_190));
}
