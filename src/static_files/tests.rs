//! Static files against a real directory, on both engines; time is given.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::header;
use tempfile::TempDir;

use super::*;
use crate::app::BodyKind;
use crate::engine::{BlockingPool, EngineKind, EngineOptions, Runtime};

mod bodies;
mod freshness;
mod lookup;

/// Files longer than this are streamed in these tests.
const CACHED_MAX: u64 = 1_024;
const LONG: usize = 300_000;

/// Runs a test on io_uring and on epoll.
fn on_both_engines(test: impl AsyncFn(Site)) {
    for kind in [EngineKind::IoUring, EngineKind::Epoll] {
        let pool = BlockingPool::start(2).unwrap();
        let options = EngineOptions {
            kind,
            ring_entries: 256,
        };
        let mut runtime = Runtime::build(&options, pool).unwrap();
        runtime.block_on(test(Site::new()));
    }
}

/// A directory and the shard state that serves it.
struct Site {
    directory: TempDir,
    files: StaticFiles,
}

impl Site {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut StaticOptions)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = StaticOptions {
            root: directory.path().join("root"),
            cached_file_bytes_max: CACHED_MAX,
            ..Default::default()
        };
        fs::create_dir(&options.root).unwrap();
        change(&mut options);
        Self {
            files: StaticFiles::new(options).unwrap(),
            directory,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("root").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    async fn get(&self, tail: &str) -> Answer {
        self.ask(Ask::get(tail)).await
    }

    async fn ask(&self, ask: Ask<'_>) -> Answer {
        Answer::from(self.try_ask(&ask).await)
    }

    async fn try_ask(&self, ask: &Ask<'_>) -> Result<Response, Error> {
        let field = |name: &http::HeaderName| {
            let lines = ask.fields.iter().filter(|(n, _)| n == name);
            join_lines(lines.map(|(_, value)| value.as_bytes()))
        };
        let fields = respond::REQUEST_FIELDS.each_ref().map(field);
        let [
            encoding,
            if_match,
            none_match,
            modified,
            unmodified,
            range,
            if_range,
        ] = &fields;
        let path = format!("/static/{}", ask.tail);
        let request = StaticRequest {
            path: &path,
            tail: ask.tail,
            query: ask.query,
            accept_encoding: encoding.as_deref(),
            gzip_offer: None,
            asked: Asked {
                is_head: ask.is_head,
                conditions: Conditions {
                    if_match: if_match.as_deref(),
                    if_none_match: none_match.as_deref(),
                    if_modified_since: modified.as_deref(),
                    if_unmodified_since: unmodified.as_deref(),
                },
                range: range.as_deref(),
                if_range: if_range.as_deref(),
            },
        };
        self.files.answer(&request, ask.now_ms).await
    }
}

/// A request.
#[derive(Clone, Default)]
struct Ask<'a> {
    tail: &'a str,
    query: Option<&'a str>,
    is_head: bool,
    fields: Vec<(http::HeaderName, String)>,
    now_ms: Millis,
}

impl<'a> Ask<'a> {
    fn get(tail: &'a str) -> Self {
        Self {
            tail,
            ..Default::default()
        }
    }

    fn head(tail: &'a str) -> Self {
        Self {
            tail,
            is_head: true,
            ..Default::default()
        }
    }

    fn at(mut self, now_ms: Millis) -> Self {
        self.now_ms = now_ms;
        self
    }

    fn field(mut self, name: http::HeaderName, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

/// A response, errors in their final form.
struct Answer {
    response: Response,
}

impl From<Result<Response, Error>> for Answer {
    fn from(result: Result<Response, Error>) -> Self {
        Self {
            response: result.unwrap_or_else(Response::from),
        }
    }
}

impl Answer {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn header(&self, name: http::HeaderName) -> Option<&str> {
        let count = self.response.headers().filter(|(n, _)| **n == name).count();
        assert!(count <= 1, "{name} is sent {count} times");
        self.response
            .header_value(&name)
            .map(|value| value.to_str().unwrap())
    }

    fn etag(&self) -> String {
        self.header(header::ETAG).expect("an ETag").to_owned()
    }

    fn is_streamed(&self) -> bool {
        self.response.body().as_bytes().is_none()
    }

    /// The body; checks that it has the length announced for it.
    async fn body(self) -> Bytes {
        let announced = self.response.body().length().expect("a known length");
        let body = self.chunks().await.expect("a whole body").concat();
        assert_eq!(body.len() as u64, announced);
        body.into()
    }

    async fn chunks(self) -> Result<Vec<Bytes>, Error> {
        match self.response.into_parts().1.into_kind() {
            BodyKind::Empty => Ok(Vec::new()),
            BodyKind::Bytes(bytes) => Ok(vec![bytes]),
            BodyKind::Vec(bytes) => Ok(vec![bytes.into()]),
            BodyKind::Prepared(response) => Ok(vec![response.body_bytes()]),
            BodyKind::Sealed(bytes) => Ok(vec![Bytes::copy_from_slice(bytes.as_ref())]),
            BodyKind::Stream { stream, .. } => collect(stream).await,
        }
    }

    fn into_stream(self) -> ByteStream {
        match self.response.into_parts().1.into_kind() {
            BodyKind::Stream { stream, .. } => stream,
            _ => panic!("not streamed"),
        }
    }
}

type ByteStream = Pin<Box<dyn futures_core::Stream<Item = Result<Bytes, Error>>>>;

async fn collect(mut stream: ByteStream) -> Result<Vec<Bytes>, Error> {
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next().await {
        chunks.push(chunk?);
    }
    Ok(chunks)
}

/// Runs futures side by side.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *output = Some(value);
            }
        }
        let is_done = running.iter().all(|(_, output)| output.is_some());
        if is_done {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    running
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

/// Bytes that differ at every offset that matters.
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Waits until the file times just set are told from later ones.
fn settle() {
    std::thread::sleep(Duration::from_millis(30));
}

fn set_modified(path: &Path, time: SystemTime) {
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

fn at_second(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

#[test]
fn the_tail_is_what_the_catch_all_matched() {
    for (pattern, path, tail) in [
        ("/static/{*path}", "/static/a/b%20c", "a/b%20c"),
        ("/static/{*path}", "/static//etc", "/etc"),
        ("/{*path}", "/a/b", "a/b"),
        ("/v/{tenant}/f/{*path}", "/v/x%2Fy/f/a/", "a/"),
        ("/static/", "/static/", ""),
        ("/static", "/static", ""),
    ] {
        assert_eq!(catch_all_tail(pattern, path), tail, "{pattern} {path}");
    }
}

#[test]
fn options_that_cannot_work_say_the_cure() {
    let refused = |change: fn(&mut StaticOptions)| {
        let directory = tempfile::tempdir().unwrap();
        let mut options = StaticOptions {
            root: directory.path().into(),
            ..Default::default()
        };
        change(&mut options);
        StaticFiles::new(options)
            .err()
            .expect("refused")
            .to_string()
    };
    assert!(refused(|o| o.root = "/no/such/dir".into()).contains("create it"));
    assert!(refused(|o| o.root = "/etc/passwd".into()).contains("/etc/passwd"));
    assert!(refused(|o| o.cache_bytes = o.cached_file_bytes_max).contains("cache_bytes"));
    assert!(refused(|o| o.index = Some("a/b".into())).contains("`a/b`"));
    assert!(refused(|o| o.cache_control = vec![("{".into(), "x".into())]).contains("`{`"));
}
