//! Starts on a PostgreSQL that cannot be used: refused with a cure, and without
//! the password.

use services::{Database, Postgres, PostgresOptions};

use crate::harness::{Engine, Serve};

either_engine!(
    database_url_is_the_store,
    a_budget_that_does_not_fit_is_refused_with_the_numbers,
    a_server_that_cannot_be_used_is_named_with_a_cure,
);

fn database_url_is_the_store(engine: Engine) {
    let database = Database::new();
    let serve = Serve::on(engine).demo();
    let server = serve.environment("DATABASE_URL", &database.url()).start();
    assert_eq!(database.psql("SELECT count(*) FROM users"), "1000");
    server.connect().get("/api/users/1000").expect(200);
    assert!(!server.output().contains("secret"), "{}", server.output());
}

/// What a start on `url` said when it ended.
#[track_caller]
fn refusal(engine: Engine, url: &str, config: &str) -> String {
    let serve = Serve::on(engine)
        .argument("--store")
        .argument(url)
        .argument("--no-wait");
    let refusal = serve.config(config).try_start().err().expect("no start");
    let code = refusal.status.code();
    assert!(matches!(code, Some(1 | 2)), "{code:?}: {}", refusal.output);
    assert!(!refusal.output.contains("panicked"), "{}", refusal.output);
    for secret in ["secret", "wr0ng"] {
        assert!(!refusal.output.contains(secret), "{}", refusal.output);
    }
    refusal.output
}

#[track_caller]
fn says(output: &str, parts: &[&str]) {
    for part in parts {
        assert!(output.contains(part), "no {part:?} in: {output}");
    }
}

fn a_budget_that_does_not_fit_is_refused_with_the_numbers(engine: Engine) {
    let small = Postgres::start_with(PostgresOptions {
        connections_max: 9,
        ..PostgresOptions::default()
    });
    // 9, less 3 for superusers and 5 for others: 1, and 2 shards and the one
    // that listens need 3.
    let said = refusal(engine, &small.url(), "");
    println!("{said}");
    says(&said, &["max_connections", "9", "3"]);
    let said = refusal(engine, &small.url(), "[database]\nconnections_max = 2\n");
    println!("{said}");
    says(&said, &["connections_max", "2", "3"]);
    // Asking for more than there is does not help.
    let smaller = Postgres::start_with(PostgresOptions {
        connections_max: 5,
        ..PostgresOptions::default()
    });
    let said = refusal(engine, &smaller.url(), "[database]\nconnections_max = 50\n");
    println!("{said}");
    says(&said, &["max_connections", "5", "3"]);
}

fn a_server_that_cannot_be_used_is_named_with_a_cure(engine: Engine) {
    let database = Database::new();
    let url = database.url();
    let wrong = url.replace("secret", "wr0ng");
    let said = refusal(engine, &wrong, "");
    println!("{said}");
    says(&said, &["password", "127.0.0.1"]);

    let nowhere = url.replace("/corelane", "/nowhere");
    let said = refusal(engine, &nowhere, "");
    println!("{said}");
    says(&said, &["nowhere", "createdb"]);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("an address").port();
    drop(nobody);
    let said = refusal(engine, &database.url_through(port), "");
    println!("{said}");
    says(&said, &["127.0.0.1", &port.to_string()]);
}
