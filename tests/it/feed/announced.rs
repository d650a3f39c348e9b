//! Writes that a process tells of by itself, after their commit: what the
//! others do when it cannot.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use services::{Database, Postgres};

use super::cuts::end_feeds;
use super::{cached, fill, is_hit, name_is, node, rename, shows, wait_for_feed, within};
use crate::harness::{Client, Engine};

either_engine!(
    a_process_that_dies_before_it_could_tell_is_noticed,
    a_lost_connection_leaves_nothing_untold,
    a_write_that_outlives_its_process_is_noticed_over_a_cut,
    a_process_that_says_goodbye_costs_the_others_nothing,
);

/// Silence, and a second for the machine and for each of what may follow.
const NOTICED_WITHIN: Duration = Duration::from_secs(6);

/// Where one is stopped by a signal, the server is the test's own: making and
/// dropping a database waits for all backends of its server.
const TELLERS: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
    AND application_name LIKE '% announces _%'";

/// Writes until the process tells of writes itself; the backend of that.
#[track_caller]
fn teller(database: &Database, writer: &mut Client) -> Pid {
    within(Duration::from_secs(15), "a process that tells", || {
        rename(writer, 1, "before");
        let pid: i32 = database.psql(TELLERS).parse().ok()?;
        Pid::from_raw(pid)
    })
}

fn a_process_that_dies_before_it_could_tell_is_noticed(engine: Engine) {
    let database = Postgres::start();
    let [writing, reading] = [(); 2].map(|()| node(engine, &database.url()));
    fill(&database, 2);
    let (mut writer, mut reader) = (writing.connect(), reading.connect());
    let backend = teller(&database, &mut writer);
    rename(&mut writer, 1, "told");
    shows(&mut reader, "/api/users/1", name_is("told"));
    cached(&mut reader, "/api/users/1");
    kill_process(backend, Signal::STOP).expect("a backend of ours");
    rename(&mut writer, 1, "untold");
    drop(writer);
    writing.kill();
    let read = reader.get("/api/users/1").expect(200);
    assert!(is_hit(&read) && name_is("told")(&read), "{read:?}");
    within(NOTICED_WITHIN, "the silence", || {
        Some(reader.get("/api/users/1")).filter(name_is("untold"))
    });
    // Or the server could not be stopped.
    kill_process(backend, Signal::CONT).expect("a backend of ours");
}

fn a_lost_connection_leaves_nothing_untold(engine: Engine) {
    let database = Postgres::start();
    let [writing, reading] = [(); 2].map(|()| node(engine, &database.url()));
    fill(&database, 2);
    let (mut writer, mut reader) = (writing.connect(), reading.connect());
    for round in 0..3 {
        let backend = teller(&database, &mut writer);
        cached(&mut reader, "/api/users/1");
        kill_process(backend, Signal::STOP).expect("a backend of ours");
        // Told after all, by the next connection.
        let name = format!("round {round}");
        rename(&mut writer, 1, &name);
        let end = format!("SELECT pg_terminate_backend({})", backend.as_raw_nonzero());
        database.psql(&end);
        kill_process(backend, Signal::CONT).expect("a backend of ours");
        shows(&mut reader, "/api/users/1", name_is(&name));
        within(Duration::from_secs(5), "its end", || {
            let left = database.psql(TELLERS);
            (left != backend.as_raw_nonzero().to_string()).then_some(())
        });
    }
}

fn a_write_that_outlives_its_process_is_noticed_over_a_cut(engine: Engine) {
    let database = Database::new();
    let [writing, reading] = [(); 2].map(|()| node(engine, &database.url()));
    fill(&database, 2);
    let (mut writer, mut reader) = (writing.connect(), reading.connect());
    teller(&database, &mut writer);
    let count = |what: &str| -> String {
        let connections =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
        database.psql(&format!("{connections} AND {what}"))
    };
    let becomes = |what: &str, expected: &str| {
        within(Duration::from_secs(10), what, || {
            (count(what) == expected).then_some(())
        });
    };
    std::thread::scope(|scope| {
        let lock = "BEGIN; SELECT 1 FROM users WHERE id = 1 FOR UPDATE; SELECT pg_sleep(3); COMMIT";
        scope.spawn(|| database.psql(lock));
        becomes("wait_event = 'PgSleep'", "1");
        let json = [("Content-Type", "application/json")];
        writer.send_request("PATCH", "/api/users/1", &json, br#"{"name":"late"}"#);
        becomes("wait_event_type = 'Lock'", "1");
        drop(writer);
        writing.kill();
        within(Duration::from_secs(10), "its end", || {
            database.psql(TELLERS).is_empty().then_some(())
        });
        database.psql(&end_feeds(database.name()));
        becomes("application_name LIKE '% changes'", "1");
        wait_for_feed(&mut reader, true);
        cached(&mut reader, "/api/users/1");
    });
    within(NOTICED_WITHIN, "the late write", || {
        Some(reader.get("/api/users/1")).filter(name_is("late"))
    });
}

fn a_process_that_says_goodbye_costs_the_others_nothing(engine: Engine) {
    let database = Database::new();
    let [mut writing, reading] = [(); 2].map(|()| node(engine, &database.url()));
    fill(&database, 2);
    let (mut writer, mut reader) = (writing.connect(), reading.connect());
    teller(&database, &mut writer);
    shows(&mut reader, "/api/users/1", name_is("before"));
    drop(writer);
    writing.signal(Signal::TERM);
    let status = writing.wait_for_exit(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0));
    cached(&mut reader, "/api/users/1");
    // As long as silence would take to be noticed.
    std::thread::sleep(Duration::from_millis(4_500));
    assert!(is_hit(&reader.get("/api/users/1")));
}
