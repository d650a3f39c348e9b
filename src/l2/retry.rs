//! Telling Redis, once it can be reached, of writes it could not be told of.
//!
//! What is pending is the process's; any shard that meets it tries again. Two
//! shards that do say the same.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::RowCache;
use super::pending_invalidations::{Retry, RowTombstone};
use crate::engine;
use crate::limits::{L2_RETRIES_PER_TURN_MAX, L2_RETRY_MS};
use crate::redis_codec::VERSION_ABOVE_ALL;

impl RowCache {
    /// Tries again in a task of its own, until nothing is pending. A change may be
    /// dropped with what an ended shard has left; another shard tries then.
    pub(super) fn retry_soon(&self) {
        if !engine::is_running() {
            return;
        }
        let Some(retry) = self.inner.retrying.take() else {
            return;
        };
        let this = self.clone();
        engine::spawn_local(async move {
            while this.inner.plan.pending.has_any() {
                this.retry_now().await;
                if this.inner.plan.pending.has_any() {
                    engine::sleep(Duration::from_millis(L2_RETRY_MS)).await;
                }
            }
            drop(retry);
        });
    }

    /// Does what can be done now.
    pub(super) async fn retry_now(&self) {
        while self.redis().is_some_and(|redis| redis.is_up()) {
            match self.inner.plan.pending.next_retry(L2_RETRIES_PER_TURN_MAX) {
                Retry::Nothing => return,
                Retry::Generation(wanted) => match self.raise().await {
                    Ok(()) => self.inner.plan.pending.generation_done(wanted),
                    Err(_) => return,
                },
                Retry::Rows(rows) => {
                    if !self.retry_rows(&rows).await {
                        return;
                    }
                }
            }
        }
    }

    /// Whether all were done.
    async fn retry_rows(&self, rows: &[(i64, RowTombstone)]) -> bool {
        let done = rows.iter().map(async |(id, tombstone)| {
            let done = self.put(*id, *tombstone, None).await.is_ok();
            if done {
                self.inner.plan.pending.row_done(*id, *tombstone);
            }
            done
        });
        join_all(done).await.into_iter().all(|done| done)
    }

    /// Tells of rows that were changed elsewhere.
    pub(super) async fn put_tombstones(&self, rows: &[(i64, Option<i64>)]) {
        if self.redis().is_none() {
            return;
        }
        for rows in rows.chunks(L2_RETRIES_PER_TURN_MAX) {
            let done = rows.iter().map(|(id, version)| {
                let tombstone = RowTombstone {
                    version: version.unwrap_or(VERSION_ABOVE_ALL),
                    life_ms: self.inner.plan.options.tombstone_ms,
                };
                self.put_or_record(*id, tombstone, None)
            });
            join_all(done).await;
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
