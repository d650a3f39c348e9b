//! A start that cannot be: the message names what is wrong and the cure, the
//! exit code is 2 for what was asked wrongly and 1 for the rest, and nothing is
//! left behind.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corelane::{App, Error, engine};
use tempfile::TempDir;

use crate::harness::{Data, Engine, InProcess, Refusal, Serve, ServerProcess, corelane};

both_engines!(
    a_taken_port_is_told_with_who_has_it,
    a_port_that_is_let_go_of_in_a_moment_is_waited_for,
    another_corelane_on_the_port_is_noticed,
    a_database_that_is_none_is_refused,
    a_data_folder_that_cannot_be_is_refused,
    a_second_start_keeps_the_data,
    the_first_start_fills_an_empty_store_once,
    the_start_table_says_what_runs,
    a_variable_counts_more_than_the_config_file,
    a_shard_that_cannot_be_built_ends_the_others,
    only_shards_run_on_the_shards_cores,
);

fn refused(serve: Serve) -> Refusal {
    match serve.try_start() {
        Err(refusal) => refusal,
        Ok(server) => panic!("it started:\n{}", server.output()),
    }
}

#[track_caller]
fn expect_words(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

fn a_taken_port_is_told_with_who_has_it(engine: Engine) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let refusal = refused(Serve::on(engine).listen(&address));
    assert_eq!(refusal.status.code(), Some(1));
    let owner = format!("process {} (", std::process::id());
    let words = [&*address, &owner, "ss -ltnp", "--listen"];
    expect_words(&refusal.output, &words);
}

/// As the ring of a process that was killed does, milliseconds after its end.
fn a_port_that_is_let_go_of_in_a_moment_is_waited_for(engine: Engine) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [public, admin] = [0, 1].map(|index| {
        let address = listeners[index].local_addr().expect("an address");
        address.to_string()
    });
    let owner = std::thread::spawn(move || {
        for listener in listeners {
            std::thread::sleep(Duration::from_millis(400));
            drop(listener);
        }
    });
    let server = Serve::on(engine).listen(&public).admin(&admin).start();
    owner.join().expect("no panic");
    assert_eq!(server.address().to_string(), public);
    server.connect().expect_usable();
}

#[test]
fn more_shards_than_cores_run_unpinned_when_asked_for() {
    let cpus = std::thread::available_parallelism()
        .expect("a number")
        .get();
    let many = (cpus + 1).to_string();
    let serve = || {
        Serve::on(Engine::Epoll)
            .by_its_defaults()
            .argument("--engine")
            .argument("epoll")
    };
    let refusal = refused(serve().argument("--shards").argument(&*many));
    assert_eq!(refusal.status.code(), Some(2), "{}", refusal.output);
    expect_words(
        &refusal.output,
        &["--oversubscribe", "core_map.oversubscribe = true"],
    );
    let config = format!("[core_map]\ncores = {many}\noversubscribe = true\n");
    let by_flag = serve()
        .argument("--shards")
        .argument(&*many)
        .argument("--oversubscribe");
    for serve in [by_flag, serve().config(config)] {
        let server = serve.start();
        server.wait_for_output("try it");
        let output = server.output();
        expect_words(&output, &[&format!("{many}, not pinned"), "take turns"]);
        let metrics = server.connect().get("/metrics").expect(200).json();
        assert_eq!(metrics["shards"].as_array().map(Vec::len), Some(cpus + 1));
        for (name, cpus) in server.thread_cpus() {
            let is_shard = name.starts_with("shard-");
            assert!(
                !is_shard || cpus.parse::<usize>().is_err(),
                "{name} on {cpus}"
            );
        }
    }
    // Where they fit nothing changes.
    let server = serve()
        .argument("--shards")
        .argument("1")
        .argument("--oversubscribe")
        .start();
    server.wait_for_output("1 on core");
}

fn only_shards_run_on_the_shards_cores(engine: Engine) {
    if std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() < 2) {
        eprintln!("skipped: with one CPU everything shares it");
        return;
    }
    let serve = Serve::on(engine).argument("--shards").argument("1");
    let server = serve.argument("--access-log").argument("json").start();
    server.connect().expect_usable();
    let threads = server.thread_cpus();
    let (_, shard) = threads
        .iter()
        .find(|(name, _)| name == "shard-0")
        .expect("the shard");
    assert!(shard.parse::<usize>().is_ok(), "pinned to one CPU: {shard}");
    assert!(
        threads.len() > 4,
        "the store, the logs and the pool: {threads:?}"
    );
    // The kernel's own workers of a ring belong to its shard.
    let beside = |name: &str| name != "shard-0" && !name.starts_with("iou-");
    for (name, cpus) in threads.iter().filter(|(name, _)| beside(name)) {
        let taken = corelane::internals::topology::parse_core_list(cpus).expect("a core list");
        let shard: usize = shard.parse().expect("a CPU");
        assert!(
            !taken.contains(&shard),
            "{name} may run on {cpus}, where the shard is"
        );
    }
}

fn another_corelane_on_the_port_is_noticed(engine: Engine) {
    let first = ServerProcess::start(engine);
    let address = first.address().to_string();
    let refusal = refused(Serve::on(engine).listen(&address));
    assert_eq!(refusal.status.code(), Some(1));
    expect_words(&refusal.output, &[&address]);
    first.connect().expect_usable();
}

fn a_database_that_is_none_is_refused(engine: Engine) {
    let data: Data = TempDir::new().expect("a folder").into();
    let folder = data.path().join("data");
    std::fs::create_dir(&folder).expect("a folder");
    let file = folder.join("corelane.db");
    std::fs::write(
        &file,
        "this is no database, and long enough to be read as one ".repeat(100),
    )
    .expect("a file");
    let refusal = refused(Serve::on(engine).data(&data));
    assert_eq!(refusal.status.code(), Some(1));
    expect_words(&refusal.output, &["corelane.db", "--store"]);
    let kept = std::fs::read_to_string(&file).expect("the file");
    assert!(
        kept.starts_with("this is no database"),
        "it was overwritten"
    );
}

fn a_data_folder_that_cannot_be_is_refused(engine: Engine) {
    let data: Data = TempDir::new().expect("a folder").into();
    std::fs::write(
        data.path().join("data"),
        "a file where the folder should be",
    )
    .expect("a file");
    let refusal = refused(Serve::on(engine).data(&data));
    assert!(
        matches!(refusal.status.code(), Some(1 | 2)),
        "{:?}",
        refusal.status
    );
    expect_words(&refusal.output, &["data", "cure"]);
}

fn a_second_start_keeps_the_data(engine: Engine) {
    let server = ServerProcess::start(engine);
    let user = serde_json::json!({"name": "Ada", "email": "ada@example.org", "age": 36});
    let made = server
        .connect()
        .send_json("POST", "/api/users", &[], &user)
        .expect(201);
    let data = server.stop();
    let server = Serve::on(engine).data(&data).start();
    let read = server.connect().get("/api/users/1").expect(200);
    assert_eq!(read.json(), made.json());
}

fn the_first_start_fills_an_empty_store_once(engine: Engine) {
    let count = |server: &ServerProcess| {
        let export = server.connect().get("/api/users/export").expect(200);
        export.text().lines().count()
    };
    let server = Serve::on(engine).demo().start();
    assert_eq!(count(&server), 1_000);
    assert!(
        server.output().contains("1000 demo users and 5000 posts"),
        "{}",
        server.output()
    );
    server
        .connect()
        .request("DELETE", "/api/users/1", &[], b"")
        .expect(204);
    let data = server.stop();
    let server = Serve::on(engine).data(&data).demo().start();
    assert_eq!(count(&server), 999);
}

fn the_start_table_says_what_runs(engine: Engine) {
    let server = ServerProcess::start(engine);
    server.wait_for_output("curl");
    let address = server.address().to_string();
    expect_words(
        &server.output(),
        &[&address, engine.name(), "shards", "corelane.db"],
    );
    // The line to try is one that works.
    assert!(server.output().contains(&format!("http://{address}/")));
}

fn a_variable_counts_more_than_the_config_file(engine: Engine) {
    let server = Serve::on(engine)
        .config("[http]\nheaders_max = 10\nbody_bytes_max = 100\n")
        .environment("CORELANE_HTTP_BODY_BYTES_MAX", "200")
        .start();
    let mut client = server.connect();
    let header = [("X", "y"); 9];
    client.get_with("/health/live", &header).expect(200);
    let json = [("Content-Type", "application/json")];
    client
        .request("POST", "/api/users", &json, &[b' '; 200])
        .expect(400);
    client
        .request("POST", "/api/users", &json, &[b' '; 201])
        .expect(413);
    let header = [("X", "y"); 10];
    server
        .connect()
        .get_with("/health/live", &header)
        .expect(431);
}

/// `corelane serve ARGUMENTS` in an empty folder; it must end by itself.
fn serve(files: &[(&str, &str)], arguments: &[&str]) -> (TempDir, Output) {
    let folder = TempDir::new().expect("a folder");
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("a file");
    }
    let mut command = corelane();
    command
        .arg("serve")
        .args(arguments)
        .current_dir(folder.path());
    let output = command.output().expect("the binary runs");
    (folder, output)
}

#[track_caller]
fn expect_usage_error(files: &[(&str, &str)], arguments: &[&str], words: &[&str]) {
    let (folder, output) = serve(files, arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    expect_words(&text, words);
    assert!(
        !folder.path().join("data").exists(),
        "{arguments:?} left a data folder"
    );
}

#[test]
fn wrong_flags_are_refused() {
    expect_usage_error(&[], &["--lisen", "127.0.0.1:0"], &["--listen"]);
    expect_usage_error(&[], &["--listen", "nowhere"], &["nowhere"]);
    expect_usage_error(&[], &["--listen", "127.0.0.1:99999"], &["99999"]);
    expect_usage_error(&[], &["--admin", "on"], &["--admin", "on", "off"]);
    expect_usage_error(
        &[],
        &["--engine", "kqueue"],
        &["kqueue", "io_uring", "epoll"],
    );
    expect_usage_error(&[], &["--store", "mongodb://a"], &["sqlite"]);
    expect_usage_error(&[], &["--shards", "0"], &["shards"]);
    expect_usage_error(&[], &["--config", "missing.toml"], &["missing.toml"]);
    expect_usage_error(&[], &["--core-map", "missing.toml"], &["missing.toml"]);
}

#[test]
fn a_static_folder_that_is_not_there_is_refused() {
    let (_folder, output) = serve(&[], &["--static", "missing", "--no-demo"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    expect_words(&text, &["missing"]);
}

#[test]
fn wrong_config_files_are_refused_with_their_line() {
    for (text, words) in [
        (
            "[server]\nlisten = \"x\"\n",
            &["server.toml:2", "listen"][..],
        ),
        (
            "[http]\nidle_timeout = 5\n",
            &["server.toml:2", "idle_timeout_ms"],
        ),
        ("[htpp]\n", &["server.toml:1", "http"]),
        (
            "[http]\nheaders_max = \"many\"\n",
            &["server.toml:2", "headers_max"],
        ),
        ("[http]\nheaders_max = 1\n", &["server.toml:2", "8"]),
        ("[http\n", &["server.toml:1"]),
        (
            "[http]\nheaders_max = 10\nheaders_max = 11\n",
            &["server.toml:3"],
        ),
    ] {
        expect_usage_error(
            &[("server.toml", text)],
            &["--config", "server.toml"],
            words,
        );
    }
}

#[test]
fn wrong_core_maps_are_refused_with_their_line_and_what_would_be_valid() {
    for (text, words) in [
        ("cores = \"9999\"\n", &["map.toml:1", "9999"][..]),
        ("cores = \"0,0\"\n", &["map.toml:1", "0"]),
        ("# a\ncores = \"5-2\"\n", &["map.toml:2", "5-2"]),
        ("cores = 100000\n", &["map.toml:1", "100000"]),
        ("ring_entries = 1\n", &["map.toml:1", "256"]),
        ("cors = \"all\"\n", &["map.toml:1", "cores"]),
        (
            "[[shards]]\ncore = 0\n[[shards]]\ncore = 0\n",
            &["map.toml:4", "0"],
        ),
    ] {
        expect_usage_error(&[("map.toml", text)], &["--core-map", "map.toml"], words);
    }
}

#[test]
fn wrong_variables_are_refused_by_name() {
    let mut command = corelane();
    command
        .arg("serve")
        .env("CORELANE_HTTP_HEADERS_MAX", "many");
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    expect_words(
        &String::from_utf8_lossy(&output.stderr),
        &["CORELANE_HTTP_HEADERS_MAX"],
    );
}

/// Root may read everything, so the file is made unreadable in a way that also
/// counts for root: it is a folder.
#[test]
fn an_unreadable_database_is_told_with_its_path() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("corelane.db")).expect("a folder");
    let mut command = corelane();
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "off",
            "--data",
        ])
        .arg(&data);
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    expect_words(
        &String::from_utf8_lossy(&output.stderr),
        &["corelane.db", "--store"],
    );
    if !rustix::process::geteuid().is_root() {
        std::fs::remove_dir(data.join("corelane.db")).expect("removed");
        std::fs::write(data.join("corelane.db"), "").expect("a file");
        let none = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(data.join("corelane.db"), none).expect("permissions");
        let output = command.output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(1));
        expect_words(
            &String::from_utf8_lossy(&output.stderr),
            &["corelane.db", "--store"],
        );
    }
}

#[test]
fn check_says_what_would_run_and_starts_nothing() {
    let (folder, output) = serve(&[], &["--check"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("valid"));
    assert!(!folder.path().join("data").exists());
}

fn a_shard_that_cannot_be_built_ends_the_others(engine: Engine) {
    /// Counts itself.
    struct State(Arc<AtomicUsize>);

    impl Drop for State {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    let built = Arc::new(AtomicUsize::new(0));
    let count = built.clone();
    // When 1 fails, 0 serves already and 2 is still being built.
    let app = App::new().state(move |shard| {
        let count = count.clone();
        async move {
            engine::sleep(Duration::from_millis(200 * shard.index as u64)).await;
            if shard.index == 1 {
                return Err(Error::internal("as asked"));
            }
            count.fetch_add(1, Ordering::SeqCst);
            Ok(State(count))
        }
    });
    let refusal = InProcess::try_start(engine, 3, app, |_| {}).err();
    let refusal = refusal.expect("it started").to_string();
    expect_words(&refusal, &["shard 1", "as asked"]);
    assert_eq!(built.load(Ordering::SeqCst), 0, "a shard is still there");
}
