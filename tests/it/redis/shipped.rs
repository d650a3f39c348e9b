//! Redis of the shipped program: settings, banner, health, metrics, and no
//! password anywhere.

use services::{Keyspace, Redis};

use crate::harness::{Engine, Serve};

either_engine!(
    the_program_says_where_redis_is_but_not_the_password,
    redis_url_counts_when_nothing_else_is_given,
    without_redis_health_warns_and_the_program_serves,
);

fn the_program_says_where_redis_is_but_not_the_password(engine: Engine) {
    let redis = Redis::start();
    redis.cli(&["CONFIG", "SET", "requirepass", "s3cret"]);
    let port = redis.port();
    let server = Serve::on(engine)
        .environment(
            "CORELANE_REDIS",
            &format!("redis://:s3cret@127.0.0.1:{port}/2"),
        )
        .environment("REDIS_URL", "redis://:s3cret@127.0.0.1:1/0")
        .start();
    server.wait_for_output(&format!("redis      redis://127.0.0.1:{port}/2"));
    let mut client = server.connect();
    let health = client.get("/health").expect(200).json();
    assert_eq!(
        (&health["status"], &health["redis"]),
        (&"OK".into(), &"connected".into())
    );
    let metrics = client.get("/metrics").expect(200).json();
    assert_eq!(metrics["redis"]["connectedShards"], 2);
    assert_eq!(metrics["redis"]["connects"], 2);
    assert_eq!(metrics["bridge"]["inFlight"], 0);
    let text = client.get("/metrics?format=prometheus").expect(200);
    let text = text.text();
    for line in [
        "corelane_redis_connected_shards 2\n",
        "corelane_redis_failures_total{kind=\"too_slow\"} 0\n",
        "corelane_bridge_in_flight 0\n",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(!text.contains("s3cret") && !server.output().contains("s3cret"));
}

fn redis_url_counts_when_nothing_else_is_given(engine: Engine) {
    let redis = Keyspace::take();
    let server = Serve::on(engine)
        .environment("REDIS_URL", &redis.url())
        .start();
    server.wait_for_output(&redis.url());
    let health = server.connect().get("/health").expect(200).json();
    assert_eq!(health["redis"], "connected");
}

fn without_redis_health_warns_and_the_program_serves(engine: Engine) {
    let mut redis = Redis::start();
    redis.kill();
    let server = Serve::on(engine)
        .argument("--redis")
        .argument(redis.url())
        .start();
    let warned = format!("warning: Redis at {} is not there", redis.url());
    server.wait_for_output(&warned);
    let mut client = server.connect();
    let health = client.get("/health").expect(200).json();
    assert_eq!(
        (&health["status"], &health["redis"]),
        (&"WARN".into(), &"disconnected".into())
    );
    client.get("/health/ready").expect(200);
    redis.start_again();
    server.wait_for_output(&format!("Redis at {} is there", redis.url()));
    assert_eq!(
        server.output().matches(&warned).count(),
        1,
        "{}",
        server.output()
    );
    let health = client.get("/health").expect(200).json();
    assert_eq!(health["status"], "OK");
}
