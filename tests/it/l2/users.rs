//! Single users in Redis, between the shards' own cache and the database.

use services::Keyspace;
use tempfile::TempDir;

use super::node::{Node, counted, create, read, redis_said, version, write};
use super::poll_for;
use crate::harness::{Engine, Serve};

either_engine!(
    a_user_is_in_redis_after_a_restart,
    two_nodes_share_what_one_has_read,
    a_write_on_one_node_is_seen_on_the_other,
    a_written_user_is_there_at_once_and_a_deleted_one_is_not,
    that_there_is_none_is_not_kept,
    redis_serves_when_the_own_cache_is_off,
    it_can_be_turned_off,
    garbage_is_a_miss_and_is_written_over,
    another_database_has_other_keys,
    flushing_the_users_flushes_redis_too,
    the_program_uses_it_and_counts,
    two_processes_share_a_file_and_a_redis,
);

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

/// Own cache off: every read asks Redis.
fn bare(engine: Engine, folder: &TempDir, redis: &Keyspace) -> Node {
    Node::start_with(engine, folder.path(), &redis.url(), |options| {
        options.cache.ttl_ms = 0;
    })
}

fn a_user_is_in_redis_after_a_restart(engine: Engine) {
    let (redis, folder) = (Keyspace::take(), folder());
    let node = Node::start(engine, folder.path(), &redis.url());
    create(&mut node.connect(), 1);
    let first = poll_for("redis is asked", || {
        let answer = read(&mut node.connect(), 1);
        (redis_said(&answer) == "fwd=uri-miss").then_some(answer)
    });
    assert_eq!(first.must_have("x-cache"), "MISS");
    node.wait_for("fills", 1);
    drop(node);
    let node = Node::start(engine, folder.path(), &redis.url());
    let again = read(&mut node.connect(), 1);
    assert_eq!(again.must_have("x-cache"), "HIT");
    let status = "corelane-redis; hit, corelane; fwd=uri-miss; stored";
    assert_eq!(again.must_have("cache-status"), status);
    assert_eq!(again.body, first.body);
    for name in ["etag", "last-modified", "cache-control", "content-type"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    // And then in the own cache.
    assert_eq!(redis_said(&read(&mut node.connect(), 1)), "nothing");
    assert_eq!((node.counted("hits"), node.counted("fills")), (1, 0));
}

fn two_nodes_share_what_one_has_read(engine: Engine) {
    let (redis, folder) = (Keyspace::take(), folder());
    let one = Node::start(engine, folder.path(), &redis.url());
    let other = Node::start(engine, folder.path(), &redis.url());
    for number in 1..=20 {
        create(&mut one.connect(), number);
        read(&mut one.connect(), number);
    }
    one.wait_for("fills", 20);
    let hits = (1..=20).filter(|id| {
        let answer = read(&mut other.connect(), *id);
        redis_said(&answer) == "hit"
    });
    assert_eq!(hits.count(), 20);
}

fn a_write_on_one_node_is_seen_on_the_other(engine: Engine) {
    let (redis, folder) = (Keyspace::take(), folder());
    let nodes = [bare(engine, &folder, &redis), bare(engine, &folder, &redis)];
    let mut clients = nodes.each_ref().map(Node::connect);
    create(&mut clients[0], 1);
    for round in 0..100 {
        let written = write(&mut clients[round % 2], 1, &format!("v{round}"));
        for client in &mut clients {
            assert_eq!(version(&read(client, 1)), written, "round {round}");
        }
    }
    let hits: u64 = nodes.iter().map(|node| node.counted("hits")).sum();
    assert!(hits > 100, "{hits}");
}

fn a_written_user_is_there_at_once_and_a_deleted_one_is_not(engine: Engine) {
    let (redis, folder) = (Keyspace::take(), folder());
    let node = bare(engine, &folder, &redis);
    let mut client = node.connect();
    create(&mut client, 1);
    read(&mut client, 1);
    let written = write(&mut client, 1, "new");
    let answer = read(&mut client, 1);
    assert_eq!((redis_said(&answer), version(&answer)), ("hit", written));
    assert_eq!(
        answer.must_have("cache-status"),
        "corelane-redis; hit, corelane; fwd=bypass"
    );
    let deleted = client.request("DELETE", "/api/users/1", &[], b"");
    deleted.expect(204);
    for _ in 0..3 {
        let gone = client.get("/api/users/1").expect(404);
        assert_eq!(redis_said(&gone), "fwd=uri-miss");
    }
}

fn that_there_is_none_is_not_kept(engine: Engine) {
    let (redis, folder) = (Keyspace::take(), folder());
    let node = bare(engine, &folder, &redis);
    let mut client = node.connect();
    for _ in 0..5 {
        client.get("/api/users/7").expect(404);
    }
    assert_eq!(redis.cli(&["KEYS", "*users*"]), "");
    assert_eq!(node.counted("fills"), 0);
}

fn redis_serves_when_the_own_cache_is_off(engine: Engine) {
    let (redis, folder) = (Keyspace::take(), folder());
    let node = bare(engine, &folder, &redis);
    let mut client = node.connect();
    create(&mut client, 1);
    poll_for("a hit", || {
        (redis_said(&read(&mut client, 1)) == "hit").then_some(())
    });
}

fn it_can_be_turned_off(engine: Engine) {
    let (redis, folder) = (Keyspace::take(), folder());
    let node = Node::start_with(engine, folder.path(), &redis.url(), |options| {
        options.cache.redis = corelane_server::handlers::cached::RedisUse::Off;
    });
    let mut client = node.connect();
    create(&mut client, 1);
    assert_eq!(redis_said(&read(&mut client, 1)), "nothing");
    write(&mut client, 1, "new");
    assert_eq!(redis.cli(&["DBSIZE"]), "0");
}

fn garbage_is_a_miss_and_is_written_over(engine: Engine) {
    let (redis, folder) = (Keyspace::take(), folder());
    let node = bare(engine, &folder, &redis);
    let mut client = node.connect();
    create(&mut client, 1);
    read(&mut client, 1);
    node.wait_for("fills", 1);
    let key = redis.cli(&["KEYS", "*users:1"]);
    let generation_key = redis.cli(&["KEYS", "*:generation"]);
    let generation = redis.cli(&["GET", &generation_key])[..16].to_owned();
    let no_row = format!("1v{generation}00000000000000000000[1,2]");
    for (index, garbage) in ["", "x", "1v", &no_row].into_iter().enumerate() {
        let fills = node.counted("fills");
        redis.cli(&["SET", &key, garbage]);
        let answer = read(&mut client, 1);
        assert_eq!((answer.must_have("x-cache"), version(&answer)), ("MISS", 1));
        assert_eq!(node.counted("garbage"), index as u64 + 1, "{garbage}");
        node.wait_for("fills", fills + 1);
        assert_eq!(redis_said(&read(&mut client, 1)), "hit");
    }
    let mut present = 1;
    for (what, key) in [("the row", &key), ("the generation", &generation_key)] {
        redis.cli(&["DEL", key]);
        redis.cli(&["RPUSH", key, "a", "list"]);
        assert_eq!(version(&read(&mut client, 1)), present, "{what}");
        present = write(&mut client, 1, what);
        assert_eq!(version(&read(&mut client, 1)), present, "{what}");
        poll_for("a hit", || {
            (redis_said(&read(&mut client, 1)) == "hit").then_some(())
        });
    }
}

fn another_database_has_other_keys(engine: Engine) {
    let redis = Keyspace::take();
    let (one, other) = (folder(), folder());
    let nodes = [bare(engine, &one, &redis), bare(engine, &other, &redis)];
    create(&mut nodes[0].connect(), 1);
    write(&mut nodes[0].connect(), 1, "of the first");
    let created = create(&mut nodes[1].connect(), 2);
    for _ in 0..10 {
        assert_eq!(read(&mut nodes[1].connect(), 1).json(), created);
    }
}

fn flushing_the_users_flushes_redis_too(engine: Engine) {
    let redis = Keyspace::take();
    let server = Serve::on(engine)
        .admin("127.0.0.1:0")
        .environment("CORELANE_REDIS", &redis.url())
        .start();
    let mut client = server.connect();
    create(&mut client, 1);
    read(&mut client, 1);
    poll_for("it is kept", || {
        (counted(&mut client, "users", "fills") == 1).then_some(())
    });
    let mut admin = crate::harness::Client::connect(server.admin_address().expect("one"));
    for target in ["/cache/users", "/cache/users/1", "/cache?all=true"] {
        admin.send(format!(
            "DELETE {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ));
        admin.read().expect(200);
        assert_eq!(
            read(&mut client, 1).must_have("x-cache"),
            "MISS",
            "{target}"
        );
    }
}

fn the_program_uses_it_and_counts(engine: Engine) {
    let redis = Keyspace::take();
    let config = "[api.redis_cache]\n\"/resource\" = \"60s\"\n";
    let first = Serve::on(engine)
        .environment("CORELANE_REDIS", &redis.url())
        .config(config)
        .start();
    let mut client = first.connect();
    create(&mut client, 1);
    read(&mut client, 1);
    client.get("/resource").expect(200);
    poll_for("both are kept", || {
        let kept = ["users", "answers"].map(|cache| counted(&mut client, cache, "fills"));
        (kept == [1, 1]).then_some(())
    });
    let data = first.stop();
    let second = Serve::on(engine)
        .data(&data)
        .environment("CORELANE_REDIS", &redis.url())
        .config(config)
        .start();
    let mut client = second.connect();
    assert_eq!(redis_said(&read(&mut client, 1)), "hit");
    let resource = client.get("/resource").expect(200);
    assert_eq!(resource.must_have("x-cache"), "HIT");
    let text = client.get("/metrics?format=prometheus").expect(200);
    for line in [
        "corelane_redis_cache_requests_total{cache=\"users\",result=\"hits\"} 1\n",
        "corelane_redis_cache_requests_total{cache=\"answers\",result=\"hits\"} 1\n",
        "corelane_redis_cache_debts_total{cache=\"users\"} 0\n",
    ] {
        assert!(text.text().contains(line), "{line} in {}", text.text());
    }
    let refused = Serve::on(engine)
        .config("[api.redis_cache]\n\"/resourc\" = 5\n")
        .try_start();
    let refusal = refused.err().expect("no such route").output;
    assert!(refusal.contains("did you mean `/resource`?"), "{refusal}");
}

fn two_processes_share_a_file_and_a_redis(engine: Engine) {
    let redis = Keyspace::take();
    let serve = || {
        let serve = Serve::on(engine).config("[cache]\nttl_ms = 0\n");
        serve.environment("CORELANE_REDIS", &redis.url())
    };
    let one = serve().start();
    let other = serve().data(one.data()).start();
    let mut clients = [one.connect(), other.connect()];
    create(&mut clients[0], 1);
    let mut hits = 0;
    for round in 0..50 {
        let written = write(&mut clients[round % 2], 1, &format!("v{round}"));
        for client in &mut clients {
            let answer = read(client, 1);
            assert_eq!(version(&answer), written, "round {round}");
            hits += usize::from(redis_said(&answer) == "hit");
        }
    }
    assert!(hits > 50, "{hits}");
}
