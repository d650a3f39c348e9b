//! `GET /api/users/export`: the whole table as NDJSON, one user a line.
//!
//! One batch is in memory at a time, and the next is read only when the client
//! has taken the last. The first batch is read before the answer starts, so
//! that a database that cannot be read is a 503 and not a broken 200; an error
//! later ends the connection without the last chunk.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderValue, header};

use super::representation::push_user;
use crate::handlers::conditional::add_cache_control;
use crate::handlers::query::QueryPairs;
use crate::handlers::store_fault::store_fault;
use crate::handlers::validate::Faults;
use crate::store::{Store, StoreError, User, UserExport};
use corelane::{Ctx, Error, Response};

/// Streams all users by id. It has no entity tag: only its end would tell.
pub(super) async fn export(ctx: Ctx) -> Result<Response, Error> {
    let mut faults = Faults::new();
    QueryPairs::parse(ctx.query_string(), &[], &mut faults);
    faults.unless_any(Some(()))?;
    let mut users = ctx.state::<Store>().export_users();
    let first = users.next_batch().await.map_err(store_fault)?;
    let lines = BatchStream::starting_with(first.map(lines_of), users);
    let mut response = Response::stream("application/x-ndjson", lines);
    let name = HeaderValue::from_static("attachment; filename=\"users.ndjson\"");
    response.insert_header(header::CONTENT_DISPOSITION, name);
    add_cache_control(&ctx, &mut response);
    Ok(response)
}

fn lines_of(users: Vec<User>) -> Bytes {
    let mut lines = Vec::with_capacity(LINE_BYTES * users.len());
    for user in &users {
        push_user(&mut lines, user);
        lines.push(b'\n');
    }
    Bytes::from(lines)
}

/// First guess of a user's line; the buffer grows.
const LINE_BYTES: usize = 224;

/// Where batches of users come from.
trait BatchSource: Sized + 'static {
    /// The next batch; `None` at the end.
    fn next_batch(&mut self) -> impl Future<Output = Result<Option<Vec<User>>, StoreError>>;
}

impl BatchSource for UserExport {
    async fn next_batch(&mut self) -> Result<Option<Vec<User>>, StoreError> {
        UserExport::next_batch(self).await
    }
}

/// What a reading future gives back: its source, and what it read.
type Fetched<S> = (S, Result<Option<Vec<User>>, StoreError>);

/// A stream over a source: at most one batch read ahead of the client.
enum BatchStream<S> {
    /// A chunk that is ready, and the source of the others.
    Ready(Bytes, S),
    /// Nothing is ready and nothing is being read.
    Idle(S),
    /// A batch is being read; the future owns the source meanwhile.
    Fetching(Pin<Box<dyn Future<Output = Fetched<S>>>>),
    /// Ended or failed.
    Done,
}

impl<S: BatchSource> BatchStream<S> {
    fn starting_with(first: Option<Bytes>, source: S) -> Self {
        match first {
            Some(chunk) => Self::Ready(chunk, source),
            None => Self::Done,
        }
    }
}

// The source is moved between states, never pinned in place.
impl<S> Unpin for BatchStream<S> {}

impl<S: BatchSource> Stream for BatchStream<S> {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut *self, Self::Done) {
                Self::Ready(chunk, source) => {
                    *self = Self::Idle(source);
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Self::Idle(mut source) => {
                    *self = Self::Fetching(Box::pin(async move {
                        let batch = source.next_batch().await;
                        (source, batch)
                    }));
                }
                Self::Fetching(mut fetch) => match fetch.as_mut().poll(cx) {
                    Poll::Pending => {
                        *self = Self::Fetching(fetch);
                        return Poll::Pending;
                    }
                    Poll::Ready((source, Ok(Some(users)))) => {
                        *self = Self::Ready(lines_of(users), source);
                    }
                    Poll::Ready((_, Ok(None))) => return Poll::Ready(None),
                    Poll::Ready((_, Err(error))) => {
                        return Poll::Ready(Some(Err(store_fault(error))));
                    }
                },
                Self::Done => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use futures_util::{FutureExt, StreamExt};

    use super::super::representation::tests::ada;
    use super::*;

    /// Gives batches of one user, and fails or ends after `left` of them.
    /// Every read is pending once.
    struct Scripted {
        left: usize,
        fails: bool,
        reads: Rc<Cell<usize>>,
    }

    impl BatchSource for Scripted {
        async fn next_batch(&mut self) -> Result<Option<Vec<User>>, StoreError> {
            self.reads.set(self.reads.get() + 1);
            pending_once().await;
            if self.left == 0 && self.fails {
                return Err(StoreError::Unavailable("gone".into()));
            }
            let more = self.left > 0;
            self.left = self.left.saturating_sub(1);
            Ok(more.then(|| vec![ada()]))
        }
    }

    fn pending_once() -> impl Future<Output = ()> {
        let mut polled = false;
        std::future::poll_fn(move |cx| {
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    fn stream(left: usize, fails: bool) -> (BatchStream<Scripted>, Rc<Cell<usize>>) {
        let reads = Rc::new(Cell::new(0));
        let source = Scripted {
            left,
            fails,
            reads: reads.clone(),
        };
        let first = Some(lines_of(vec![ada()]));
        (BatchStream::starting_with(first, source), reads)
    }

    /// The next item, polled until it is there.
    fn next(stream: &mut BatchStream<Scripted>) -> Option<Result<Bytes, Error>> {
        (0..3).find_map(|_| stream.next().now_or_never()).unwrap()
    }

    #[test]
    fn every_line_is_a_user_and_nothing_is_read_ahead() {
        let (mut stream, reads) = stream(2, false);
        for reads_before in 0..3 {
            let chunk = next(&mut stream).unwrap().unwrap();
            assert_eq!(reads.get(), reads_before, "one batch in memory at a time");
            assert!(chunk.ends_with(b"}\n"));
            let user: serde_json::Value = serde_json::from_slice(&chunk).unwrap();
            assert_eq!(user["id"], 42);
        }
        assert!(next(&mut stream).is_none());
        assert!(next(&mut stream).is_none(), "the end is the end");
        assert_eq!(reads.get(), 3);
    }

    #[test]
    fn an_error_is_the_last_item() {
        let (mut stream, _) = stream(0, true);
        assert!(next(&mut stream).unwrap().is_ok());
        let error = next(&mut stream).unwrap().unwrap_err();
        assert_eq!(error.status(), 503);
        assert!(next(&mut stream).is_none());
    }

    #[test]
    fn an_empty_table_is_an_empty_body() {
        let (source, reads) = stream(0, false);
        let BatchStream::Ready(_, source) = source else {
            panic!("starts ready")
        };
        let mut empty = BatchStream::starting_with(None, source);
        assert!(next(&mut empty).is_none());
        assert_eq!(reads.get(), 0);
    }
}
