//! Nothing is lost and nobody hangs, with threads that really park.

use super::*;

/// What a flood has to send, and what it has got.
struct Flood {
    endpoint: Endpoint<u32>,
    other: usize,
    messages: u32,
    requests_sent: u32,
    replies_got: u32,
    requests_got: u32,
}

impl Flood {
    async fn start(mesh: &Mesh<u32>, index: usize, messages: u32) -> (Self, Bell) {
        let bell = Bell::of_current_shard();
        let flood = Self {
            endpoint: mesh.attach(index),
            other: 1 - index,
            messages,
            requests_sent: 0,
            replies_got: 0,
            requests_got: 0,
        };
        (flood, bell)
    }

    /// One turn. Answers every request, so both classes flow both ways; takes
    /// no requests while replies pile up, as a home does.
    fn turn(&mut self, alive: &mut bool) -> Left {
        let mut events = VecDeque::new();
        self.endpoint.note_awake();
        let takes = self.endpoint.backlog() < 8;
        let left = self.endpoint.receive(&mut events, takes);
        for event in events {
            match event {
                Event::PeerUp(_) => *alive = true,
                Event::PeerDown(_) => *alive = false,
                Event::Request { message, .. } => {
                    assert_eq!(message, self.requests_got);
                    self.requests_got += 1;
                    self.endpoint.send_reply(self.other, message);
                }
                Event::Reply { message, .. } => {
                    assert_eq!(message, self.replies_got);
                    self.replies_got += 1;
                }
            }
        }
        let batch = fastrand::u32(1..64);
        for _ in 0..batch {
            let is_all = self.requests_sent == self.messages;
            // As many outstanding as a protocol would allow.
            if !*alive || is_all || self.requests_sent - self.replies_got >= 512 {
                break;
            }
            let sent = self.endpoint.send_request(self.other, self.requests_sent);
            sent.expect("512 outstanding are not refused");
            self.requests_sent += 1;
        }
        self.endpoint.flush();
        left
    }

    fn is_done(&self) -> bool {
        self.replies_got == self.messages && self.requests_got == self.messages
    }

    /// Until all is sent, answered and answered for; parks when it may, or
    /// now and then looks again instead.
    async fn run(mut self, bell: Bell) -> Counters {
        let mut alive = false;
        while !self.is_done() || self.endpoint.backlog() > 0 {
            let left = self.turn(&mut alive);
            let done = self.is_done() && self.endpoint.backlog() == 0;
            let may_park = left == Left::Nothing && fastrand::u8(..) < 230;
            if !done && may_park && !self.sends_more(alive) && self.endpoint.try_park() {
                bell.wait().await;
            } else {
                engine::yield_now().await;
            }
        }
        *self.endpoint.counters()
    }

    fn sends_more(&self, alive: bool) -> bool {
        alive && self.requests_sent < self.messages && self.requests_sent - self.replies_got < 512
    }
}

fn flood(lane_messages: usize, messages: u32) {
    let mesh = Mesh::new(2, lane_messages);
    let shards: Vec<_> = (0..2)
        .map(|index| {
            let mesh = mesh.clone();
            spawn_shard(move || async move {
                let (flood, bell) = Flood::start(&mesh, index, messages).await;
                flood.run(bell).await
            })
        })
        .collect();
    for shard in shards {
        let counters = shard.join().expect("no wake was lost");
        assert_eq!(counters.requests_sent, u64::from(messages));
        assert_eq!(counters.replies_received, u64::from(messages));
    }
}

#[test]
fn floods_through_lanes_of_one_do_not_deadlock() {
    flood(1, 5_000);
}

#[test]
fn no_wake_is_lost() {
    // Requests and replies, both ways: 200,000 messages.
    flood(64, 50_000);
}

/// Sends one, parks, and again: the shortest way between two sleepers.
#[test]
fn sleepers_wake_each_other() {
    const ROUNDS: u32 = 5_000;
    let mesh = Mesh::new(2, 1);
    let shards: Vec<_> = (0..2_usize)
        .map(|index| {
            let mesh = mesh.clone();
            spawn_shard(move || async move {
                let bell = Bell::of_current_shard();
                let mut endpoint = mesh.attach(index);
                let mut events = VecDeque::new();
                let mut got = 0;
                while got < ROUNDS {
                    endpoint.note_awake();
                    let _ = endpoint.receive(&mut events, true);
                    for event in events.drain(..) {
                        match event {
                            Event::PeerUp(1) => endpoint.send_reply(1, 0),
                            Event::Reply { from, message } => {
                                got += 1;
                                endpoint.send_reply(from, message + 1);
                            }
                            _ => {}
                        }
                    }
                    endpoint.flush();
                    if got < ROUNDS && endpoint.try_park() {
                        bell.wait().await;
                    }
                }
            })
        })
        .collect();
    for shard in shards {
        shard.join().expect("no wake was lost");
    }
}

/// One way only: nothing but room in the lane ever wakes the sender.
#[test]
fn a_sender_that_waits_for_room_is_woken() {
    const MESSAGES: u32 = 5_000;
    let mesh = Mesh::new(2, 1);
    let receiving = mesh.clone();
    let receiver = spawn_shard(move || async move {
        let bell = Bell::of_current_shard();
        let mut endpoint = receiving.attach(0);
        let mut got = 0;
        while got < MESSAGES {
            endpoint.note_awake();
            for event in receive_all(&mut endpoint) {
                if let Event::Reply { message, .. } = event {
                    assert_eq!(message, got);
                    got += 1;
                }
            }
            if got < MESSAGES && endpoint.try_park() {
                bell.wait().await;
            }
        }
    });
    let sender = spawn_shard(move || async move {
        let bell = Bell::of_current_shard();
        let mut endpoint = mesh.attach(1);
        let mut sent = 0;
        while sent < MESSAGES || endpoint.backlog() > 0 {
            endpoint.note_awake();
            for event in receive_all(&mut endpoint) {
                if event == Event::PeerUp(0) {
                    (0..MESSAGES).for_each(|number| endpoint.send_reply(0, number));
                    sent = MESSAGES;
                }
            }
            endpoint.flush();
            if (sent < MESSAGES || endpoint.backlog() > 0) && endpoint.try_park() {
                bell.wait().await;
            }
        }
    });
    receiver.join().expect("no wake was lost");
    sender.join().expect("no wake was lost");
}
