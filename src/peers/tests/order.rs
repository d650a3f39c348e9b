//! Order, classes, bounds and fairness; single-threaded, several endpoints on
//! one reactor.

use super::*;
use crate::limits::{
    LANE_MESSAGES_MAX, LANE_MESSAGES_MIN, LANE_REQUESTS_PER_POLL_MAX, LANE_REQUESTS_WAITING_MAX,
    LANES_TOTAL_MESSAGES_MAX,
};

/// Shards `0..count`, attached, and told of each other.
fn attached<M: Send + 'static>(count: usize, lane_messages: usize) -> Vec<Endpoint<M>> {
    let mesh = Mesh::new(count, lane_messages);
    let mut endpoints: Vec<_> = (0..count).map(|index| mesh.attach(index)).collect();
    for endpoint in &mut endpoints {
        let ups = receive_all(endpoint);
        assert_eq!(ups.len(), count - 1);
        assert!(ups.iter().all(|event| matches!(event, Event::PeerUp(_))));
    }
    endpoints
}

#[test]
fn each_class_of_each_pair_is_in_order() {
    on_shard(async {
        let mut shards = attached::<(usize, u32)>(3, 4);
        // More than the lanes hold: the rest waits and follows in order.
        for (from, shard) in shards.iter_mut().enumerate() {
            for number in 0..100 {
                for to in (0..3).filter(|to| *to != from) {
                    shard.send_request(to, (from, number)).unwrap();
                    shard.send_reply(to, (from, number + 1_000));
                }
            }
        }
        let mut seen = vec![Vec::new(); 3];
        for _ in 0..100 {
            for (to, shard) in shards.iter_mut().enumerate() {
                shard.flush();
                seen[to].extend(receive_all(shard));
            }
        }
        for (to, events) in seen.iter().enumerate() {
            for from in (0..3).filter(|from| *from != to) {
                let requests = events.iter().filter_map(|event| match event {
                    Event::Request { from: f, message } if *f == from => Some(*message),
                    _ => None,
                });
                assert!(requests.eq((0..100).map(|number| (from, number))));
                let replies = events.iter().filter_map(|event| match event {
                    Event::Reply { from: f, message } if *f == from => Some(*message),
                    _ => None,
                });
                assert!(replies.eq((1_000..1_100).map(|number| (from, number))));
            }
        }
        let counters = shards[0].counters();
        assert_eq!((counters.requests_sent, counters.replies_sent), (200, 200));
        assert_eq!(counters.requests_received, 200);
        assert_eq!(counters.replies_received, 200);
        assert_eq!(counters.doorbells_rung, 0, "nobody was parked");
        assert_eq!(counters.lane_full, 4 * 96);
    });
}

#[test]
fn replies_come_first_and_do_not_wait_for_requests() {
    on_shard(async {
        let mut shards = attached::<u32>(2, 8);
        shards[0].send_request(1, 1).unwrap();
        shards[0].send_reply(1, 2);
        shards[0].flush();
        let mut events = VecDeque::new();
        assert_eq!(shards[1].receive(&mut events, false), Left::Requests);
        let message = 2;
        assert_eq!(events, [Event::Reply { from: 0, message }]);
        assert!(!shards[1].try_park(), "a request is left");
        events.clear();
        assert_eq!(shards[1].receive(&mut events, true), Left::Nothing);
        let message = 1;
        assert_eq!(events, [Event::Request { from: 0, message }]);
        assert!(shards[1].try_park());
    });
}

#[test]
fn a_shard_that_waits_for_room_may_park_with_requests_left() {
    on_shard(async {
        let mut shards = attached::<u32>(2, 1);
        shards[1].send_reply(0, 1);
        shards[1].send_reply(0, 2);
        shards[0].send_request(1, 3).unwrap();
        shards[0].flush();
        let mut events = VecDeque::new();
        assert_eq!(shards[1].receive(&mut events, false), Left::Requests);
        assert_eq!(shards[1].backlog(), 1);
        assert!(shards[1].try_park());
        receive_all(&mut shards[0]);
        assert_eq!(shards[0].counters().doorbells_rung, 1, "there is room");
        assert!(!shards[1].try_park());
        assert_eq!(shards[1].backlog(), 0);
    });
}

#[test]
fn requests_are_refused_when_too_many_wait_and_replies_never() {
    on_shard(async {
        let mut shards = attached::<usize>(2, 4);
        for number in 0..LANE_REQUESTS_WAITING_MAX + 4 {
            shards[0].send_request(1, number).unwrap();
            shards[0].send_reply(1, number);
        }
        assert_eq!(shards[0].send_request(1, 9), Err(Refused::Full(9)));
        assert_eq!(shards[0].counters().requests_refused_full, 1);
        shards[0].send_reply(1, 9);
        assert_eq!(shards[0].backlog(), LANE_REQUESTS_WAITING_MAX + 1);
        shards[0].flush();
        assert_eq!(receive_all(&mut shards[1]).len(), 8);
        shards[0].flush();
        shards[0].send_request(1, 9).unwrap();
    });
}

#[test]
fn no_peer_starves_another() {
    on_shard(async {
        let mut shards = attached::<u32>(4, 1_024);
        for number in 0..1_000 {
            shards[1].send_request(0, number).unwrap();
        }
        shards[2].send_request(0, 1).unwrap();
        shards[3].send_request(0, 1).unwrap();
        shards.iter_mut().for_each(Endpoint::flush);
        let mut events = VecDeque::new();
        assert_eq!(shards[0].receive(&mut events, true), Left::Requests);
        assert_eq!(events.len(), LANE_REQUESTS_PER_POLL_MAX);
        let first: Vec<usize> = events
            .iter()
            .take(4)
            .map(|event| match event {
                Event::Request { from, .. } => *from,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(first, [1, 2, 3, 1]);
        // Who comes late is served in the very next turn, in its round.
        shards[3].send_request(0, 2).unwrap();
        shards[3].flush();
        events.clear();
        assert_eq!(shards[0].receive(&mut events, true), Left::Requests);
        let message = 2;
        let place = events
            .iter()
            .position(|event| *event == Event::Request { from: 3, message });
        assert!(place.is_some_and(|place| place < 3), "{place:?}");
    });
}

#[test]
fn one_doorbell_for_many_messages() {
    on_shard(async {
        let mut shards = attached::<u32>(2, 64);
        assert!(shards[1].try_park());
        for number in 0..50 {
            shards[0].send_reply(1, number);
        }
        assert_eq!(shards[0].counters().doorbells_rung, 0);
        shards[0].flush();
        shards[0].flush();
        assert_eq!(shards[0].counters().doorbells_rung, 1);
        assert!(!shards[1].try_park());
        assert_eq!(receive_all(&mut shards[1]).len(), 50);
        assert!(shards[1].try_park());
    });
}

#[test]
fn lanes_stay_within_their_memory() {
    assert_eq!(lane_messages_for(2), LANE_MESSAGES_MAX);
    for shards in 1..=181 {
        let messages = lane_messages_for(shards);
        assert!((LANE_MESSAGES_MIN..=LANE_MESSAGES_MAX).contains(&messages));
        assert!(2 * shards * shards * messages <= LANES_TOTAL_MESSAGES_MAX);
    }
    assert_eq!(lane_messages_for(1_024), LANE_MESSAGES_MIN);
}
