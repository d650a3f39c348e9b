//! Tasks of one shard: who gets a turn when, timers, wakes.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use corelane_engine::{
    Elapsed, EngineKind, LocalEvent, interval_tick, is_running, now, remote, sleep, spawn_local,
    timeout, wake, yield_now, yield_to_all,
};

use crate::{build, run};

every_driver!(
    a_yield_is_fair,
    timers_fire_while_a_fair_task_is_busy,
    results_arrive_while_a_fair_task_is_busy,
    a_timeout_drops_what_it_waits_for,
    timers_keep_their_order,
    tasks_go_on_in_the_next_run,
    a_notification_is_kept_until_somebody_waits,
    a_destructor_may_wake,
    a_wake_after_the_end_does_nothing,
);

const PATIENCE: Duration = Duration::from_secs(10);

/// Of two tasks that yield without end, each gets every other turn.
fn a_yield_is_fair(driver: EngineKind) {
    const TURNS: usize = 1_000;
    run(driver, async {
        let turns = Rc::new([Cell::new(0usize), Cell::new(0usize)]);
        let is_over = Rc::new(Cell::new(false));
        for index in 0..2 {
            let (turns, is_over) = (turns.clone(), is_over.clone());
            spawn_local(async move {
                while !is_over.get() {
                    turns[index].set(turns[index].get() + 1);
                    yield_now().await;
                }
            });
        }
        for _ in 0..TURNS {
            yield_now().await;
        }
        is_over.set(true);
        for turns in turns.iter() {
            let got = turns.get();
            assert!((TURNS - 2..=TURNS + 2).contains(&got), "{got}");
        }
        yield_now().await;
    });
}

/// A busy task that yields by `of` until `is_over`.
fn busy(is_over: &Rc<Cell<bool>>, of: impl AsyncFn() + 'static) {
    let is_over = is_over.clone();
    spawn_local(async move {
        while !is_over.get() {
            of().await;
        }
    });
}

fn timers_fire_while_a_fair_task_is_busy(driver: EngineKind) {
    run(driver, async {
        let is_over = Rc::new(Cell::new(false));
        busy(&is_over, yield_to_all);
        let since = now();
        for _ in 0..5 {
            sleep(Duration::from_millis(10)).await;
        }
        let took = since.elapsed();
        is_over.set(true);
        assert!(took >= Duration::from_millis(50), "{took:?}");
        assert!(took < PATIENCE, "{took:?}");
        yield_to_all().await;
    });
}

fn results_arrive_while_a_fair_task_is_busy(driver: EngineKind) {
    run(driver, async {
        let is_over = Rc::new(Cell::new(false));
        busy(&is_over, yield_now);
        for value in 0..20 {
            let (sender, receiver) = remote();
            std::thread::spawn(move || sender.send(value));
            assert_eq!(receiver.await, Ok(value));
        }
        is_over.set(true);
        yield_now().await;
    });
}

fn a_timeout_drops_what_it_waits_for(driver: EngineKind) {
    run(driver, async {
        let dropped = Rc::new(Cell::new(0));
        let guard = OnDrop(Some(Box::new({
            let dropped = dropped.clone();
            move || dropped.set(dropped.get() + 1)
        })));
        let waits = async move {
            let _guard = guard;
            pending::<()>().await;
        };
        assert_eq!(
            timeout(Duration::from_millis(10), waits).await,
            Err(Elapsed)
        );
        assert_eq!(dropped.get(), 1);
        assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7));
    });
}

fn timers_keep_their_order(driver: EngineKind) {
    run(driver, async {
        let fired = Rc::new(RefCell::new(Vec::new()));
        for ms in [30, 10, 20] {
            let fired = fired.clone();
            spawn_local(async move {
                sleep(Duration::from_millis(ms)).await;
                fired.borrow_mut().push(ms);
            });
        }
        let due = now() + Duration::from_millis(40);
        while now() < due || fired.borrow().len() < 3 {
            interval_tick(due).await;
        }
        assert!(now() >= due);
        assert_eq!(*fired.borrow(), [10, 20, 30]);
    });
}

fn tasks_go_on_in_the_next_run(driver: EngineKind) {
    let mut runtime = build(driver);
    let turns = Rc::new(Cell::new(0));
    let count = turns.clone();
    runtime.block_on(async move {
        spawn_local(async move {
            for _ in 0..3 {
                sleep(Duration::from_millis(5)).await;
                count.set(count.get() + 1);
            }
        });
    });
    let before = turns.get();
    assert!(before < 3, "{before}");
    runtime.block_on(async {
        while turns.get() < 3 {
            sleep(Duration::from_millis(1)).await;
        }
    });
    runtime.shutdown();
}

fn a_notification_is_kept_until_somebody_waits(driver: EngineKind) {
    run(driver, async {
        let event = Rc::new(LocalEvent::default());
        event.notify();
        event.notify();
        event.wait().await;
        let late = timeout(Duration::from_millis(5), event.wait()).await;
        assert_eq!(late, Err(Elapsed), "two notifications are one");
        let told = event.clone();
        spawn_local(async move { told.notify() });
        event.wait().await;
    });
}

/// Runs something when it is dropped.
struct OnDrop(Option<Box<dyn FnOnce()>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

fn a_destructor_may_wake(driver: EngineKind) {
    let event = Rc::new(LocalEvent::default());
    let ran = Rc::new(Cell::new(false));
    let mut runtime = build(driver);
    runtime.block_on(async {
        let waits = event.clone();
        spawn_local(async move { waits.wait().await });
        let (told, ran) = (event.clone(), ran.clone());
        let guard = OnDrop(Some(Box::new(move || {
            told.notify();
            ran.set(true);
        })));
        // Always ready: it is in the runtime's queue when that is dropped.
        spawn_local(async move {
            let _guard = guard;
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            })
            .await;
        });
    });
    drop(runtime);
    assert!(ran.get(), "the task was dropped");
}

/// The waker of a task that waits for ever.
async fn waker_of_a_task() -> Waker {
    let found = Rc::new(RefCell::new(None));
    let told = found.clone();
    spawn_local(poll_fn(move |cx| {
        *told.borrow_mut() = Some(cx.waker().clone());
        Poll::<()>::Pending
    }));
    yield_now().await;
    found.take().expect("a waker")
}

fn a_wake_after_the_end_does_nothing(driver: EngineKind) {
    let mut runtime = build(driver);
    let [between, after] = runtime.block_on(async {
        assert!(is_running());
        [waker_of_a_task().await, waker_of_a_task().await]
    });
    assert!(!is_running());
    wake(between);
    runtime.shutdown();
    wake(after);
}
