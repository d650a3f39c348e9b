//! Shards that come and go while others send.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_dead_peer_refuses_requests_and_swallows_replies() {
    on_shard(async {
        let mesh = Mesh::new(3, 8);
        let mut endpoint = mesh.attach(0);
        assert_eq!(endpoint.send_request(1, 7), Err(Refused::Dead(7)));
        assert_eq!(endpoint.send_request(9, 7), Err(Refused::Dead(7)));
        endpoint.send_reply(2, 7);
        endpoint.flush();
        assert_eq!(endpoint.counters().replies_sent, 0);
        assert_eq!(receive_all(&mut endpoint), []);
    });
}

#[test]
fn down_comes_before_up_and_takes_along_what_was_left() {
    on_shard(async {
        let mesh = Mesh::<&str>::new(2, 2);
        let mut home = mesh.attach(0);
        let mut first = mesh.attach(1);
        assert_eq!(receive_all(&mut home), [Event::PeerUp(1)]);
        for text in ["in the lane", "too", "in the outbox"] {
            first.send_reply(0, text);
            home.send_reply(1, text);
        }
        first.flush();
        home.flush();
        mesh.detach(1);
        mesh.detach(1);
        let mut second = mesh.attach(1);
        second.send_reply(0, "new");
        second.flush();
        let message = "new";
        let expected = [
            Event::PeerDown(1),
            Event::PeerUp(1),
            Event::Reply { from: 1, message },
        ];
        assert_eq!(receive_all(&mut home), expected);
        assert_eq!(home.backlog(), 0);
        home.flush();
        assert_eq!(receive_all(&mut second), [Event::PeerUp(0)]);
        // The first one is not yet dropped and goes on sending into the void.
        first.send_reply(0, "late");
        first.flush();
        assert_eq!(receive_all(&mut home), []);
        assert!(home.try_park());
    });
}

#[test]
fn a_successor_detaches_who_was_not_detached() {
    on_shard(async {
        let mesh = Mesh::<u32>::new(2, 2);
        let mut home = mesh.attach(0);
        let _first = mesh.attach(1);
        let _second = mesh.attach(1);
        let expected = [Event::PeerUp(1), Event::PeerDown(1), Event::PeerUp(1)];
        assert_eq!(receive_all(&mut home), expected);
    });
}

#[test]
fn who_attaches_knows_who_lives_and_may_send_at_once() {
    on_shard(async {
        let mesh = Mesh::<u32>::new(100, 2);
        let mut far = mesh.attach(99);
        let mut near = mesh.attach(0);
        near.send_request(99, 5).unwrap();
        near.flush();
        assert!(!near.try_park(), "it was not told of its peers yet");
        mesh.detach(99);
        let message = 5;
        let request = Event::Request { from: 0, message };
        assert_eq!(receive_all(&mut far), [Event::PeerUp(0), request]);
        let expected = [Event::PeerUp(99), Event::PeerDown(99)];
        assert_eq!(receive_all(&mut near), expected);
    });
}

#[test]
fn a_parked_shard_is_told_of_births_and_deaths() {
    let mesh = Mesh::<u32>::new(2, 2);
    let (attached, is_attached) = std::sync::mpsc::channel();
    let watcher = {
        let mesh = mesh.clone();
        spawn_shard(move || async move {
            let bell = Bell::of_current_shard();
            let mut endpoint = mesh.attach(0);
            attached.send(()).unwrap();
            let mut seen = Vec::new();
            while seen.len() < 2 {
                endpoint.note_awake();
                seen.extend(receive_all(&mut endpoint));
                if seen.len() < 2 && endpoint.try_park() {
                    bell.wait().await;
                }
            }
            seen
        })
    };
    is_attached.recv().unwrap();
    let shard = mesh.clone();
    spawn_shard(move || async move { drop(shard.attach(1)) })
        .join()
        .unwrap();
    // Its runtime is gone.
    mesh.detach(1);
    let seen = watcher.join().expect("no wake was lost");
    assert_eq!(seen, [Event::PeerUp(1), Event::PeerDown(1)]);
}

/// One shard lives 100 lives while two flood it and each other; each life
/// sends its number, and no number comes in a later life.
#[test]
fn shards_come_and_go_while_others_send() {
    const LIVES: u32 = 100;
    let mesh = Mesh::<u32>::new(3, 4);
    let over = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..2)
        .map(|index| {
            let (mesh, over) = (mesh.clone(), over.clone());
            spawn_shard(move || async move { watch_lives(&mesh, index, &over).await })
        })
        .collect();
    let mortal = mesh.clone();
    let lives = thread::spawn(move || {
        for life in 0..LIVES {
            on_shard(async {
                let mut endpoint = mortal.attach(2);
                for _ in 0..fastrand::u32(0..20) {
                    let _ = receive_all(&mut endpoint);
                    for to in 0..2 {
                        endpoint.send_reply(to, life);
                        let _ = endpoint.send_request(to, life);
                    }
                    endpoint.flush();
                }
            });
            mortal.detach(2);
        }
    });
    lives.join().unwrap();
    over.store(true, Ordering::SeqCst);
    for other in others {
        let (ups, downs) = other.join().unwrap();
        assert!(ups == downs && ups > 0, "{ups} births, {downs} deaths");
    }
}

/// Sends to both others, and checks that all that comes is of the present
/// life. Returns how often shard 2 was born and died.
async fn watch_lives(mesh: &Mesh<u32>, index: usize, over: &AtomicBool) -> (u32, u32) {
    let mut endpoint = mesh.attach(index);
    let mut events = VecDeque::new();
    let (mut ups, mut downs) = (0, 0);
    let mut lives = false;
    // The life whose numbers come, and the least that may come.
    let (mut life, mut least) = (None, 0);
    loop {
        let is_over = over.load(Ordering::SeqCst);
        let left = endpoint.receive(&mut events, true);
        for event in events.drain(..) {
            match event {
                Event::PeerUp(2) => {
                    assert!(!lives);
                    (lives, ups) = (true, ups + 1);
                }
                Event::PeerDown(2) => {
                    assert!(lives);
                    (lives, downs) = (false, downs + 1);
                    least = life.take().map_or(least, |past: u32| past + 1);
                }
                Event::Reply { from: 2, message } | Event::Request { from: 2, message } => {
                    assert!(lives, "a message of the dead");
                    assert!(message >= least, "a message of a past life");
                    assert_eq!(*life.get_or_insert(message), message);
                }
                _ => {}
            }
        }
        for to in (0..3).filter(|to| *to != index) {
            let _ = endpoint.send_request(to, u32::MAX);
            if endpoint.backlog() < 100 {
                endpoint.send_reply(to, u32::MAX);
            }
        }
        endpoint.flush();
        if is_over && left == Left::Nothing {
            return (ups, downs);
        }
        engine::yield_now().await;
    }
}
