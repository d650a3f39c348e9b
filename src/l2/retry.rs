//! Telling Redis, once it can be reached, of writes it could not be told of.
//!
//! Debts are the process's; any shard that meets them pays. Two shards that pay
//! the same say the same.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::RowCache;
use super::debts::{Due, RowDebt};
use super::rows::Inner;
use crate::engine;
use crate::limits::{L2_DEBT_RETRY_MS, L2_DEBTS_PER_TURN_MAX};
use crate::redis_codec::VERSION_ABOVE_ALL;

impl RowCache {
    /// Pays in a task of its own, until nothing is owed. A change may be dropped
    /// with what an ended shard has left; another shard pays then.
    pub(super) fn pay_soon(&self) {
        if !engine::is_running() {
            return;
        }
        let Some(paying) = Paying::start(&self.inner) else {
            return;
        };
        let this = self.clone();
        engine::spawn_local(async move {
            while this.inner.plan.debts.is_owing() {
                this.pay().await;
                if this.inner.plan.debts.is_owing() {
                    engine::sleep(Duration::from_millis(L2_DEBT_RETRY_MS)).await;
                }
            }
            drop(paying);
        });
    }

    /// Pays what can be paid now.
    pub(super) async fn pay(&self) {
        while self.redis().is_some_and(|redis| redis.is_up()) {
            match self.inner.plan.debts.due(L2_DEBTS_PER_TURN_MAX) {
                Due::Nothing => return,
                Due::Generation(wanted) => match self.raise().await {
                    Ok(()) => self.inner.plan.debts.settle_generation(wanted),
                    Err(_) => return,
                },
                Due::Rows(rows) => {
                    if !self.pay_rows(&rows).await {
                        return;
                    }
                }
            }
        }
    }

    /// Whether all were paid.
    async fn pay_rows(&self, rows: &[(i64, RowDebt)]) -> bool {
        let told = rows.iter().map(async |(id, debt)| {
            let told = self.tell(*id, *debt, None).await.is_ok();
            if told {
                self.inner.plan.debts.settle_row(*id, *debt);
            }
            told
        });
        join_all(told).await.into_iter().all(|told| told)
    }

    /// Tells of rows that were changed elsewhere.
    pub(super) async fn tell_of(&self, rows: &[(i64, Option<i64>)]) {
        if self.redis().is_none() {
            return;
        }
        for rows in rows.chunks(L2_DEBTS_PER_TURN_MAX) {
            let told = rows.iter().map(|(id, version)| {
                let debt = RowDebt {
                    version: version.unwrap_or(VERSION_ABOVE_ALL),
                    life_ms: self.inner.plan.options.tombstone_ms,
                };
                self.tell_or_owe(*id, debt, None)
            });
            join_all(told).await;
        }
    }
}

/// The results of a few futures that go on together.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *result = Some(ready);
            }
        }
        match results.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

/// A shard that pays; one task of it.
struct Paying(Rc<Inner>);

impl Paying {
    fn start(inner: &Rc<Inner>) -> Option<Self> {
        let is_first = !inner.is_paying.replace(true);
        is_first.then(|| Self(inner.clone()))
    }
}

impl Drop for Paying {
    fn drop(&mut self) {
        self.0.is_paying.set(false);
    }
}
