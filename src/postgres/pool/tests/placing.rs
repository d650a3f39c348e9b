//! Who gets which connection: nothing waits behind a write that need not.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::future::{join, join_all};
use services::Database;

use super::*;

const TABLE: &str = "DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, n int);
                     INSERT INTO t SELECT id, 0 FROM generate_series(1, 100) id";

/// A session of somebody else that holds one row.
struct Holder(Exclusive);

impl Holder {
    async fn of(pool: &Pool, id: u32) -> Self {
        let own = pool.exclusive().await.unwrap();
        let lock = format!("BEGIN; SELECT FROM t WHERE id = {id} FOR UPDATE");
        own.client().batch_execute(&lock).await.unwrap();
        Self(own)
    }

    async fn let_go(self) {
        self.0.client().batch_execute("COMMIT").await.unwrap();
    }
}

fn update(id: u32) -> String {
    format!("UPDATE t SET n = n + 1 WHERE id = {id}")
}

/// A write that is counted when it is done.
fn start_write(pool: &Pool, id: u32, done: &Rc<Cell<u32>>) {
    let (pool, done) = (pool.clone(), done.clone());
    engine::spawn_local(async move {
        run(&pool, Intent::Write, &update(id)).await.unwrap();
        done.set(done.get() + 1);
    });
}

fn writing(pool: &Pool) -> usize {
    let links = pool.inner.links.borrow();
    links.iter().filter(|link| link.is_writing()).count()
}

#[test]
fn reads_and_writes_pass_a_write_that_waits_for_a_row() {
    let postgres = Database::new();
    on_both(async || {
        postgres.psql(TABLE);
        let pool = Pool::new(&server(&postgres.url(), patient()));
        let elsewhere = Pool::new(&server(&postgres.url(), patient()));
        let holder = Holder::of(&elsewhere, 1).await;
        let blocked = Rc::default();
        start_write(&pool, 1, &blocked);
        until(|| writing(&pool) == 1).await;
        // The one connection there is waits: others are opened.
        let reads = join_all((0..40).map(|_| ask(&pool, "SELECT 1"))).await;
        assert!(reads.iter().all(Result::is_ok), "{reads:?}");
        let writes = (2..40).map(async |id| run(&pool, Intent::Write, &update(id)).await);
        let writes = join_all(writes).await;
        assert!(writes.iter().all(Result::is_ok), "{writes:?}");
        assert_eq!(blocked.get(), 0, "nobody waited for the row");
        assert!(pool.inner.links.borrow().len() <= 4);
        holder.let_go().await;
        until(|| blocked.get() == 1).await;
        closed(pool).await;
        closed(elsewhere).await;
    });
}

#[test]
fn writes_that_all_wait_leave_a_connection_to_reads() {
    let postgres = Database::new();
    on_both(async || {
        postgres.psql(TABLE);
        let pool = Pool::new(&server(&postgres.url(), patient()));
        let elsewhere = Pool::new(&server(&postgres.url(), patient()));
        let holder = Holder::of(&elsewhere, 1).await;
        let blocked = Rc::default();
        for _ in 0..12 {
            start_write(&pool, 1, &blocked);
        }
        until(|| writing(&pool) == 3).await;
        for _ in 0..20 {
            let reads = join_all((0..20).map(|_| ask(&pool, "SELECT 1"))).await;
            assert!(reads.iter().all(Result::is_ok), "{reads:?}");
        }
        assert_eq!((writing(&pool), blocked.get()), (3, 0));
        assert_eq!(pool.inner.queue.borrow().len(Want::Write), 9);
        holder.let_go().await;
        until(|| blocked.get() == 12).await;
        assert_eq!(postgres.psql("SELECT n FROM t WHERE id = 1"), "12");
        closed(pool).await;
        closed(elsewhere).await;
    });
}

#[test]
fn concurrent_writes_spread_and_no_connection_has_two() {
    let postgres = Database::new();
    on_both(async || {
        let pool = Pool::new(&server(&postgres.url(), options()));
        let pid = "SELECT pg_backend_pid() FROM pg_sleep(0.02)";
        let write = async || {
            let work = async |connection: &Connection| first_field(connection, pid).await;
            pool.shared(Intent::Write, work).await.unwrap()
        };
        let done = Cell::new(false);
        let watching = async {
            while !done.get() {
                for link in pool.inner.links.borrow().iter() {
                    assert!(link.writes() <= 1);
                }
                engine::sleep(Duration::from_millis(2)).await;
            }
        };
        let writes = async {
            let pids = join_all((0..24).map(|_| write())).await;
            done.set(true);
            pids
        };
        let ((), mut pids) = join(watching, writes).await;
        pids.sort();
        pids.dedup();
        assert!((3..=4).contains(&pids.len()), "{pids:?}");
        assert_eq!(pool.inner.links.borrow().len(), 4);
        closed(pool).await;
    });
}

#[test]
fn the_only_connection_there_may_be_is_shared_by_reads_and_a_write() {
    let postgres = Database::new();
    on_both(async || {
        let one = PostgresOptions {
            pool_max: 1,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), one));
        a_read_goes_behind_a_write(&pool, "SELECT pg_sleep(0.2)").await;
        closed(pool).await;
    });
}

/// On the pool's only connection, while the write is under way.
async fn a_read_goes_behind_a_write(pool: &Pool, slowly: &str) {
    let write = run(pool, Intent::Write, slowly);
    let read = async {
        until(|| writing(pool) == 1).await;
        let read = ask(pool, "SELECT 1");
        let seen = async {
            until(|| pool.inner.links.borrow()[0].in_flight() == 2).await;
        };
        join(read, seen).await.0
    };
    let (write, read) = join(write, read).await;
    assert_eq!((write, read.as_deref()), (Ok(()), Ok("1")));
}

#[test]
fn reads_go_behind_a_write_where_no_other_connection_can_be_made() {
    let postgres = Database::new();
    let role = format!("lone_of_{}", postgres.name());
    let made = format!("CREATE ROLE {role} LOGIN PASSWORD 'secret' CONNECTION LIMIT 1");
    postgres.psql(&made);
    let url = postgres.url_as(&role, "secret");
    on_both(async || {
        let pool = Pool::new(&server(&url, options()));
        pool.ping().await.unwrap();
        a_read_goes_behind_a_write(&pool, "SELECT pg_sleep(0.3)").await;
        assert!(pool.inner.server.snapshot().connect_failures > 0);
        closed(pool).await;
    });
}

#[test]
fn nobody_starves_while_everything_is_busy() {
    let postgres = Database::new();
    on_both(async || {
        let pool = Pool::new(&server(&postgres.url(), options()));
        let stop = Rc::new(Cell::new(false));
        let turns: Vec<Rc<Cell<u32>>> = (0..60).map(|_| Rc::default()).collect();
        let left = Rc::new(Cell::new(turns.len()));
        for (index, turn) in turns.iter().enumerate() {
            let intent = [Intent::Read, Intent::Write][index % 2];
            let (pool, stop, turn, left) = (pool.clone(), stop.clone(), turn.clone(), left.clone());
            engine::spawn_local(async move {
                while !stop.get() {
                    run(&pool, intent, "SELECT pg_sleep(0.004)").await.unwrap();
                    turn.set(turn.get() + 1);
                }
                left.set(left.get() - 1);
            });
        }
        engine::sleep(Duration::from_millis(1_500)).await;
        stop.set(true);
        until(|| left.get() == 0).await;
        assert_eq!(pool.inner.links.borrow().len(), 4);
        for kind in 0..2 {
            let counts = turns.iter().skip(kind).step_by(2).map(|turn| turn.get());
            let (least, most) = (counts.clone().min().unwrap(), counts.max().unwrap());
            assert!(least > 0 && most <= 2 * least + 2, "{least} to {most}");
        }
        closed(pool).await;
    });
}

#[test]
fn without_a_number_a_pool_has_its_share_of_the_budget_within_bounds() {
    let postgres = Database::new();
    on_both(async || {
        for (connections, pools, most) in [(15, 1, 15), (92, 1, 16), (40, 4, 10), (20, 4, 8)] {
            let unset = PostgresOptions {
                pool_max: 0,
                pool_min: 0,
                ..options()
            };
            let server = server_of(&postgres.url(), unset, Budget::new(connections, 1)).unwrap();
            let pools: Vec<_> = (0..pools).map(|_| Pool::new(&server)).collect();
            assert_eq!(pools[0].inner.links_max(), most, "{connections}");
        }
    });
}
