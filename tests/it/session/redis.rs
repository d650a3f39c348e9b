//! Sessions in Redis: one set of them for all nodes.

use services::{Keyspace, Redis};

use super::*;

either_engine!(
    two_processes_on_one_redis_have_the_same_sessions,
    a_session_is_none_with_another_database,
    only_the_hash_of_an_id_is_in_redis_and_it_expires_there,
    a_login_replaces_the_session_in_redis,
    a_use_prolongs_a_session_in_redis,
    a_deleted_user_has_no_session_in_redis,
    without_its_redis_a_session_is_503_and_nothing_hangs,
    what_another_version_wrote_is_no_session,
);

fn on(engine: Engine, redis: &Keyspace) -> Serve {
    Serve::on(engine).argument("--redis").argument(redis.url())
}

fn keys(redis: &Keyspace) -> Vec<String> {
    let keys = redis.cli(&["KEYS", "*:sess:*"]);
    keys.lines()
        .filter(|key| !key.is_empty())
        .map(str::to_owned)
        .collect()
}

fn two_processes_on_one_redis_have_the_same_sessions(engine: Engine) {
    let redis = Keyspace::take();
    let one = with_ada(on(engine, &redis));
    let two = on(engine, &redis).data(one.data()).start();
    let cookie = cookie_in(&one);
    expect_everywhere(&one, &cookie, 200);
    expect_everywhere(&two, &cookie, 200);
    let header = [("Cookie", cookie.as_str())];
    two.connect()
        .request("DELETE", "/api/session", &header, b"")
        .expect(204);
    expect_everywhere(&one, &cookie, 401);
    expect_everywhere(&two, &cookie, 401);
    let cookie = cookie_in(&two);
    drop(two);
    expect_everywhere(&one, &cookie, 200);
}

/// Its user 1 is somebody else.
fn a_session_is_none_with_another_database(engine: Engine) {
    let redis = Keyspace::take();
    let one = with_ada(on(engine, &redis));
    let other = with_ada(on(engine, &redis));
    let cookie = cookie_in(&one);
    expect_everywhere(&one, &cookie, 200);
    expect_everywhere(&other, &cookie, 401);
    let header = [("Cookie", cookie.as_str())];
    let ended = other
        .connect()
        .request("DELETE", "/api/session", &header, b"");
    ended.expect(204);
    expect_everywhere(&one, &cookie, 200);
}

fn only_the_hash_of_an_id_is_in_redis_and_it_expires_there(engine: Engine) {
    let redis = Keyspace::take();
    let server = with_ada(on(engine, &redis));
    let cookie = cookie_in(&server);
    let id = cookie.strip_prefix("corelane=").expect("the name");
    let keys = keys(&redis);
    assert_eq!(keys.len(), 1);
    let (_, hash) = keys[0].split_once(":sess:").expect("a key");
    assert_eq!(hash.len(), 64);
    assert!(!redis.cli(&["KEYS", "*"]).contains(id));
    assert!(!redis.cli(&["GET", &keys[0]]).contains(id));
    let left_ms: u64 = redis.cli(&["PTTL", &keys[0]]).parse().expect("a time");
    assert!((3_500_000..=3_600_000).contains(&left_ms), "{left_ms}");
}

fn a_login_replaces_the_session_in_redis(engine: Engine) {
    let redis = Keyspace::take();
    let server = with_ada(on(engine, &redis));
    let first = cookie_in(&server);
    let again = log_in(&mut server.connect(), &[("Cookie", &first)]).expect(201);
    assert_eq!(keys(&redis).len(), 1);
    expect_everywhere(&server, &first, 401);
    expect_everywhere(&server, &cookie_of(&again), 200);
}

fn a_use_prolongs_a_session_in_redis(engine: Engine) {
    let redis = Keyspace::take();
    let config = "[session]\nsliding_ttl_ms = 3000\nabsolute_ttl_ms = 60000\nrefresh_ms = 0\n";
    let server = with_ada(on(engine, &redis).config(config));
    let cookie = cookie_in(&server);
    let begun = Instant::now();
    let mut client = server.connect();
    while begun.elapsed() < Duration::from_millis(4_500) {
        session(&mut client, &cookie).expect(200);
        std::thread::sleep(Duration::from_millis(50));
    }
    // Left alone it goes by itself.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !keys(&redis).is_empty() {
        assert!(Instant::now() < deadline, "it stays");
        std::thread::sleep(Duration::from_millis(50));
    }
    session(&mut client, &cookie).expect(401);
}

fn a_deleted_user_has_no_session_in_redis(engine: Engine) {
    let redis = Keyspace::take();
    let server = with_ada(on(engine, &redis));
    let cookie = cookie_in(&server);
    expect_everywhere(&server, &cookie, 200);
    server
        .connect()
        .request("DELETE", "/api/users/1", &[], b"")
        .expect(204);
    expect_everywhere(&server, &cookie, 401);
    assert_eq!(keys(&redis).len(), 0, "its next use ended it");
}

fn without_its_redis_a_session_is_503_and_nothing_hangs(engine: Engine) {
    let mut redis = Redis::start();
    let server = with_ada(on(engine, &redis));
    let cookie = cookie_in(&server);
    redis.freeze();
    expect_503(&server, &cookie);
    redis.thaw();
    redis.kill();
    expect_503(&server, &cookie);
    // What needs no session goes on.
    server
        .connect()
        .get_with("/api/users/1", &[("Cookie", &cookie)])
        .expect(200);
    redis.start_again();
    // It has lost all sessions, and says so on every shard before long.
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_known = || session(&mut server.connect(), &cookie).status == 401;
    while !(0..8).all(|_| is_known()) {
        assert!(Instant::now() < deadline, "still not there");
        std::thread::sleep(Duration::from_millis(50));
    }
    let cookie = cookie_in(&server);
    expect_everywhere(&server, &cookie, 200);
}

fn expect_503(server: &ServerProcess, cookie: &str) {
    let begun = Instant::now();
    session(&mut server.connect(), cookie).expect(503);
    let login = log_in(&mut server.connect(), &[]).expect(503);
    assert!(login.header("set-cookie").is_none());
    let header = [("Cookie", cookie)];
    server
        .connect()
        .request("DELETE", "/api/session", &header, b"")
        .expect(503);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

fn what_another_version_wrote_is_no_session(engine: Engine) {
    let redis = Keyspace::take();
    let server = with_ada(on(engine, &redis));
    let cookie = cookie_in(&server);
    let key = keys(&redis).remove(0);
    redis.cli(&["SET", &key, "from the future"]);
    expect_everywhere(&server, &cookie, 401);
}
