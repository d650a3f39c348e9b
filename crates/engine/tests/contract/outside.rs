//! What is not the reactor's own: files, blocking work, results from other
//! threads.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use corelane_engine::{
    EngineKind, File, Gone, PoolError, ShardWaker, compute, remote, sleep, spawn_local, timeout,
    unblock, yield_now,
};

use crate::{build, run};

every_driver!(
    a_file_is_read_by_offset,
    blocking_work_leaves_the_shard_free,
    a_panic_of_blocking_work_is_an_error,
    a_result_comes_from_another_thread,
    many_results_are_one_wake,
    a_sender_that_is_dropped_ends_the_wait,
    a_result_for_a_runtime_that_ended_is_dropped,
    another_thread_wakes_a_shard_that_sleeps,
);

const PATIENCE: Duration = Duration::from_secs(10);

fn a_file_is_read_by_offset(driver: EngineKind) {
    let mut file = tempfile::tempfile().expect("a file");
    let content: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
    file.write_all(&content).expect("room");
    run(driver, async move {
        let file = File::from_std(file).expect("a file");
        let mut read = Vec::new();
        let mut buffer = b"overwritten".to_vec();
        buffer.reserve_exact(4_096 - buffer.len());
        loop {
            let (count, returned) = file.read_at(buffer, read.len() as u64).await;
            buffer = returned;
            assert_eq!(count.expect("a read"), buffer.len());
            if buffer.is_empty() {
                break;
            }
            read.extend_from_slice(&buffer);
        }
        assert!(read == content);
    });
}

fn blocking_work_leaves_the_shard_free(driver: EngineKind) {
    run(driver, async {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let answer = Rc::new(Cell::new(0));
        let told = answer.clone();
        spawn_local(async move {
            told.set(
                unblock(move || released.recv().map_or(1, |()| 2))
                    .await
                    .unwrap_or(3),
            );
        });
        // The job cannot end before this task has had a turn.
        sleep(Duration::from_millis(5)).await;
        assert_eq!(answer.get(), 0);
        release.send(()).expect("a job");
        while answer.get() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(answer.get(), 2);
        assert_eq!(compute(|| 6 * 7).await, Ok(42));
    });
}

fn a_panic_of_blocking_work_is_an_error(driver: EngineKind) {
    run(driver, async {
        let failed = unblock(|| -> u8 { panic!("as the test says") }).await;
        assert_eq!(failed, Err(PoolError::Panicked));
        assert_eq!(unblock(|| 1).await, Ok(1));
    });
}

fn a_result_comes_from_another_thread(driver: EngineKind) {
    run(driver, async {
        let (sender, receiver) = remote();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            sender.send("hello");
        });
        assert_eq!(timeout(PATIENCE, receiver).await, Ok(Ok("hello")));
        thread.join().expect("a sender");
    });
}

fn many_results_are_one_wake(driver: EngineKind) {
    const SENDERS: usize = 4;
    const EACH: usize = 50;
    run(driver, async {
        let wakes = Rc::new(Cell::new(0));
        let count = wakes.clone();
        ShardWaker::on_wake(move || count.set(count.get() + 1));
        let mut receivers = Vec::new();
        let mut threads = Vec::new();
        for sender in 0..SENDERS {
            let mut senders = Vec::new();
            for index in 0..EACH {
                let (one, receiver) = remote();
                senders.push((one, sender * EACH + index));
                receivers.push(receiver);
            }
            threads.push(std::thread::spawn(move || {
                senders.into_iter().for_each(|(one, value)| one.send(value));
            }));
        }
        // The shard does not look meanwhile.
        for thread in threads {
            thread.join().expect("a sender");
        }
        for (index, receiver) in receivers.into_iter().enumerate() {
            assert_eq!(timeout(PATIENCE, receiver).await, Ok(Ok(index)));
        }
        assert_eq!(wakes.get(), 1);
    });
}

fn a_sender_that_is_dropped_ends_the_wait(driver: EngineKind) {
    run(driver, async {
        let (sender, receiver) = remote::<u8>();
        std::thread::spawn(move || drop(sender));
        assert_eq!(timeout(PATIENCE, receiver).await, Ok(Err(Gone)));
    });
}

fn a_result_for_a_runtime_that_ended_is_dropped(driver: EngineKind) {
    let mut runtime = build(driver);
    let (sender, waker, _receiver) = runtime.block_on(async {
        let (sender, receiver) = remote();
        (sender, ShardWaker::current(), receiver)
    });
    runtime.shutdown();
    let late = std::thread::spawn(move || {
        sender.send(1);
        waker.wake();
    });
    late.join().expect("no panic");
}

fn another_thread_wakes_a_shard_that_sleeps(driver: EngineKind) {
    run(driver, async {
        let woken = Rc::new(Cell::new(false));
        let told = woken.clone();
        ShardWaker::on_wake(move || told.set(true));
        let waker = ShardWaker::current();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            waker.wake();
        });
        while !woken.get() {
            yield_now().await;
            sleep(Duration::from_millis(1)).await;
        }
        thread.join().expect("a waker");
    });
}
