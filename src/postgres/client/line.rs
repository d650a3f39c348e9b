//! The socket of one connection, kept in our hands beside the library's: so a
//! connection that does not answer can be cut, and one that has said goodbye
//! is waited for until the server has closed it, because until then it counts
//! at the server.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use send_wrapper::SendWrapper;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::engine::{self, ClientStream};
use crate::limits::POSTGRES_GOODBYE_MS;

/// The socket of one connection, and how the connection stands.
pub(in crate::postgres) struct Line {
    stream: RefCell<Option<ClientStream>>,
    is_cut: Cell<bool>,
    /// It was cut on purpose, not because it failed.
    is_unwanted: Cell<bool>,
    /// The server has said something.
    is_greeted: Cell<bool>,
    driver: RefCell<Option<Waker>>,
    end: RefCell<End>,
    on_end: RefCell<Vec<Box<dyn FnOnce()>>>,
}

#[derive(Default)]
struct End {
    is_over: bool,
    is_closed: bool,
    reason: Option<String>,
    on_closed: Option<Box<dyn FnOnce()>>,
}

impl Line {
    pub(super) fn new(stream: ClientStream) -> Self {
        Self {
            stream: RefCell::new(Some(stream)),
            is_cut: Cell::new(false),
            is_unwanted: Cell::new(false),
            is_greeted: Cell::new(false),
            driver: RefCell::new(None),
            end: RefCell::default(),
            on_end: RefCell::default(),
        }
    }

    /// Gives the connection up: whoever waits on it is told it is closed.
    pub(in crate::postgres) fn cut(&self) {
        self.is_cut.set(true);
        let driver = self.driver.borrow_mut().take();
        if let Some(driver) = driver {
            engine::wake(driver);
        }
    }

    /// The same for one that works and is not wanted any more.
    pub(in crate::postgres) fn close(&self) {
        self.is_unwanted.set(true);
        self.cut();
    }

    /// Whether nothing can be asked over it any more.
    pub(in crate::postgres) fn is_over(&self) -> bool {
        self.is_cut.get() || self.end.borrow().is_over
    }

    /// Why it ended, if it was not by our goodbye.
    pub(in crate::postgres) fn reason(&self) -> Option<String> {
        self.end.borrow().reason.clone()
    }

    /// Runs `then` when nothing can be asked any more; at once if so already.
    pub(in crate::postgres) fn when_over(&self, then: impl FnOnce() + 'static) {
        if self.end.borrow().is_over {
            then();
        } else {
            self.on_end.borrow_mut().push(Box::new(then));
        }
    }

    /// Runs `then` when the server has closed it too, or does not do so in
    /// time.
    pub(in crate::postgres) fn when_closed(&self, then: impl FnOnce() + 'static) {
        let mut end = self.end.borrow_mut();
        if end.is_closed {
            drop(end);
            then();
        } else {
            end.on_closed = Some(Box::new(then));
        }
    }

    /// Drives the connection until it ends by itself or is cut (`None`).
    pub(super) async fn watched<T>(&self, driving: impl Future<Output = T>) -> Option<T> {
        let mut driving = std::pin::pin!(driving);
        poll_fn(|cx| {
            if self.is_cut.get() {
                return Poll::Ready(None);
            }
            let mut waker = self.driver.borrow_mut();
            if !waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                *waker = Some(cx.waker().clone());
            }
            drop(waker);
            driving.as_mut().poll(cx).map(Some)
        })
        .await
    }

    pub(super) fn ended(&self, reason: Option<String>) {
        let mut end = self.end.borrow_mut();
        end.is_over = true;
        end.reason = reason.filter(|_| !self.is_unwanted.get());
        drop(end);
        let waiting = self.on_end.take();
        waiting.into_iter().for_each(|then| then());
    }

    /// The server has heard our goodbye when it closes. One that is frozen
    /// does not: then the wait ends by itself.
    pub(super) async fn see_off(&self) {
        let stream = self.stream.borrow_mut().take();
        let Some(mut stream) = stream else { return };
        let goodbye = async {
            let mut rest = [0; 512];
            let _ = stream.shutdown().await;
            while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
        };
        let _ = engine::timeout(Duration::from_millis(POSTGRES_GOODBYE_MS), goodbye).await;
    }

    pub(super) fn closed(&self) {
        let mut end = self.end.borrow_mut();
        end.is_closed = true;
        let then = end.on_closed.take();
        drop(end);
        if let Some(then) = then {
            then();
        }
    }

    fn with<T>(
        &self,
        act: impl FnOnce(Pin<&mut ClientStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.stream.borrow_mut().as_mut() {
            Some(stream) => act(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

/// The socket as the library holds it.
pub(super) struct LineStream(SendWrapper<Rc<Line>>);

impl LineStream {
    pub(super) fn of(line: &Rc<Line>) -> Self {
        Self(SendWrapper::new(line.clone()))
    }
}

impl AsyncRead for LineStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.with(|mut stream| {
            // The library does not flush its question for TLS before it waits
            // for the answer.
            if !self.0.is_greeted.get() {
                let _ = stream.as_mut().poll_flush(cx)?;
            }
            let read = stream.poll_read(cx, buffer);
            self.0
                .is_greeted
                .set(self.0.is_greeted.get() || read.is_ready());
            read
        })
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.with(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with(|stream| stream.poll_shutdown(cx))
    }
}
