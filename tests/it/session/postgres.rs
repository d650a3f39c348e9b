//! Sessions in PostgreSQL: one set of them for all nodes.

use services::Database;

use super::*;

either_engine!(
    two_processes_on_one_postgres_have_the_same_sessions,
    demo_users_in_postgres_have_the_documented_password,
    a_new_password_ends_the_sessions_at_every_process,
    a_session_ends_with_its_user_in_postgres,
);

fn on(engine: Engine, database: &Database) -> Serve {
    let rules = r#"{"POST /api/session" = ""}"#;
    Serve::on(engine)
        .argument("--store")
        .argument(database.url())
        .environment("CORELANE_RATE_LIMIT_RULES", rules)
}

/// Two processes, and a user 1 who can log in.
fn two_with_ada(engine: Engine, database: &Database) -> [ServerProcess; 2] {
    let servers = [(); 2].map(|()| on(engine, database).start());
    let ada = json!({"name": "Ada", "email": EMAIL, "age": 36});
    let mut client = servers[0].connect();
    client
        .send_json("POST", "/api/users", &[], &ada)
        .expect(201);
    password_by_command(database, PASSWORD);
    servers
}

fn password_by_command(database: &Database, password: &str) {
    let store = database.url();
    set_password_with(&["--store", &store], EMAIL, password);
}

fn two_processes_on_one_postgres_have_the_same_sessions(engine: Engine) {
    let database = Database::new();
    let [one, two] = two_with_ada(engine, &database);
    let cookie = cookie_in(&one);
    expect_everywhere(&one, &cookie, 200);
    expect_everywhere(&two, &cookie, 200);
    // Only the hash of the id is there.
    let id = cookie.strip_prefix("corelane=").expect("the name");
    let rows = database.psql("SELECT user_id, encode(id_hash, 'escape') FROM sessions");
    assert!(rows.starts_with("1|") && !rows.contains(id), "{rows}");
    let header = [("Cookie", cookie.as_str())];
    two.connect()
        .request("DELETE", "/api/session", &header, b"")
        .expect(204);
    expect_everywhere(&one, &cookie, 401);
    expect_everywhere(&two, &cookie, 401);
    let cookie = cookie_in(&two);
    drop(two);
    expect_everywhere(&one, &cookie, 200);
    one.stop();
    let again = on(engine, &database).start();
    expect_everywhere(&again, &cookie, 200);
}

fn demo_users_in_postgres_have_the_documented_password(engine: Engine) {
    let database = Database::new();
    let server = on(engine, &database).demo().start();
    let mut client = server.connect();
    let user = client.get("/api/users/500").expect(200).json();
    let email = user["email"].as_str().expect("an email").to_uppercase();
    let password = corelane_server::store::DEMO_PASSWORD;
    let begun = log_in_as(&mut client, &[], &email, password).expect(201);
    assert_eq!(begun.json()["user_id"], 500);
    log_in_as(&mut client, &[], &email, "another").expect(401);
}

fn a_new_password_ends_the_sessions_at_every_process(engine: Engine) {
    let database = Database::new();
    let [one, two] = two_with_ada(engine, &database);
    let cookies = [&one, &two].map(cookie_in);
    password_by_command(&database, "a new one");
    for cookie in &cookies {
        expect_everywhere(&one, cookie, 401);
        expect_everywhere(&two, cookie, 401);
    }
    log_in(&mut two.connect(), &[]).expect(401);
    log_in_as(&mut two.connect(), &[], EMAIL, "a new one").expect(201);
}

fn a_session_ends_with_its_user_in_postgres(engine: Engine) {
    let database = Database::new();
    let [one, two] = two_with_ada(engine, &database);
    let cookie = cookie_in(&one);
    expect_everywhere(&two, &cookie, 200);
    one.connect()
        .request("DELETE", "/api/users/1", &[], b"")
        .expect(204);
    expect_everywhere(&two, &cookie, 401);
    expect_everywhere(&one, &cookie, 401);
    log_in(&mut two.connect(), &[]).expect(401);
}
