//! What the servers answer from: users in SQLite and PostgreSQL, made once by
//! corelane's own seed and copied for each start, the same users as a file,
//! and static files.

use std::path::{Path, PathBuf};

use corelane_server::store::{Database, SeedPlan, StoreOptions};
use services::{Postgres, PostgresOptions};
use tempfile::TempDir;
use versus::cell::Databases;
use versus::cores::Cores;
use versus::scenario::Store;

const USERS: u64 = 50_000;

/// The databases the copies are made of.
pub(crate) struct Data {
    folder: TempDir,
    postgres: Option<Postgres>,
}

impl Data {
    /// Fills SQLite, and PostgreSQL on the load's CPUs if it will be asked.
    pub(crate) fn make(cores: &Cores, with_postgres: bool) -> Self {
        let folder = TempDir::new().expect("a folder");
        seed(StoreOptions::sqlite(folder.path().join("users.db")));
        let postgres = with_postgres.then(|| start_postgres(cores));
        if let Some(postgres) = &postgres {
            seed(StoreOptions {
                url: postgres.url().parse().expect("an address"),
                ..StoreOptions::default()
            });
            make_plain_template(postgres);
        }
        make_files(&folder.path().join("static"));
        Self { folder, postgres }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn static_folder(&self) -> PathBuf {
        self.folder.path().join("static")
    }

    /// What PostgreSQL says of itself.
    pub(crate) fn postgres_version(&self) -> Option<String> {
        Some(self.postgres.as_ref()?.psql("SHOW server_version"))
    }
}

impl Databases for Data {
    fn fresh(&mut self, store: Store, is_corelane: bool, run: &Path) -> Result<String, String> {
        let Some(postgres) = self.postgres.as_ref().filter(|_| store == Store::Postgres) else {
            let copy = run.join("users.db");
            let copied = std::fs::copy(self.folder.path().join("users.db"), &copy);
            copied.map_err(|error| format!("{}: {error}", copy.display()))?;
            return Ok(format!("sqlite:{}", copy.display()));
        };
        let template = if is_corelane { "corelane" } else { PLAIN };
        self.drop_fresh_of(postgres);
        let created = format!("CREATE DATABASE {FRESH} TEMPLATE {template}");
        postgres.psql_in("postgres", &created);
        // So that no checkpoint of an earlier run falls into this one.
        postgres.psql_in("postgres", "CHECKPOINT");
        let url = postgres.url();
        let server = url
            .rsplit_once('/')
            .map_or(url.as_str(), |(server, _)| server);
        Ok(format!("{server}/{FRESH}"))
    }

    fn postgres_pid(&self) -> Option<u32> {
        Some(self.postgres.as_ref()?.pid())
    }

    fn drop_fresh(&mut self) {
        if let Some(postgres) = &self.postgres {
            self.drop_fresh_of(postgres);
        }
    }
}

impl Data {
    fn drop_fresh_of(&self, postgres: &Postgres) {
        let dropped = format!("DROP DATABASE IF EXISTS {FRESH} WITH (FORCE)");
        postgres.psql_in("postgres", &dropped);
    }
}

/// What a server that is being measured has.
const FRESH: &str = "versus";
/// What rivals' are copied from.
const PLAIN: &str = "plain";

fn seed(options: StoreOptions) {
    let database = Database::open(&options).expect("a database");
    let plan = SeedPlan {
        users: USERS,
        posts: 0,
        ..SeedPlan::default()
    };
    database.seed(&plan, &mut |_, _| {}).expect("users");
    database.close();
}

/// Writes are on disk when they are answered, unlike in tests.
fn start_postgres(cores: &Cores) -> Postgres {
    let settings = [
        "fsync=on",
        "synchronous_commit=on",
        "shared_buffers=256MB",
        "max_wal_size=2GB",
        "checkpoint_timeout=1h",
    ];
    let options = PostgresOptions {
        connections_max: 200,
        settings: settings.map(str::to_owned).to_vec(),
        ..PostgresOptions::default()
    };
    on_cpus(&cores.load, || Postgres::start_with(options))
}

/// Runs `work` on some CPUs, where the processes it starts remain.
pub(crate) fn on_cpus<T>(cpus: &[usize], work: impl FnOnce() -> T) -> T {
    let all = rustix::thread::sched_getaffinity(None).expect("an affinity");
    let mut some = rustix::thread::CpuSet::new();
    for cpu in cpus {
        some.set(*cpu);
    }
    rustix::thread::sched_setaffinity(None, &some).expect("the CPUs exist");
    let done = work();
    rustix::thread::sched_setaffinity(None, &all).expect("as before");
    done
}

/// The same tables and indexes without the triggers, which serve corelane
/// alone: rivals do not pay for what they do not have.
fn make_plain_template(postgres: &Postgres) {
    postgres.psql("VACUUM ANALYZE");
    postgres.psql_in(
        "postgres",
        &format!("CREATE DATABASE {PLAIN} TEMPLATE corelane"),
    );
    let triggers = postgres.psql_in(
        PLAIN,
        "SELECT format('DROP TRIGGER %I ON %s;', tgname, tgrelid::regclass)
         FROM pg_trigger WHERE NOT tgisinternal",
    );
    assert!(
        triggers.contains("users_updated"),
        "no triggers: {triggers}"
    );
    postgres.psql_in(PLAIN, &triggers);
}

/// Bytes that do not compress, the same in every run.
fn make_files(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    for (name, bytes) in [
        ("4k.bin", 4 << 10),
        ("64k.bin", 64 << 10),
        ("1m.bin", 1 << 20),
    ] {
        let mut random = fastrand::Rng::with_seed(bytes as u64);
        let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(bytes)
            .collect();
        std::fs::write(folder.join(name), content).expect("a file");
    }
    open_to_all(folder);
}

/// nginx's workers may be another user.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o755);
    let parent = folder.parent().unwrap_or(folder);
    for path in [parent, folder] {
        std::fs::set_permissions(path, open.clone()).expect("our own folder");
    }
}
