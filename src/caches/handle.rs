//! What handlers call: a cache, or a cache whose entries have more tags.

use std::future::Future;
use std::rc::Rc;

use super::lookup::CacheLookup;
use super::{CacheEntry, Cached, Caches};
use crate::Error;
use crate::cache::{CacheOptions, CacheValue, Payload};

/// One cache, the same from every shard. Cheap to clone; stays on its shard.
///
/// The futures of the closures given to it run on this shard and own what they
/// use, because they may go on when the request that started them is gone.
///
/// ```
/// use corelane::cache::CacheOptions;
/// use corelane::{App, Ctx, Error, Response};
///
/// async fn get(ctx: Ctx) -> Result<Response, Error> {
///     let id: u32 = ctx.param("id")?;
///     let doubles = ctx.cache("doubles");
///     let double = doubles.get_or_load(id.to_string(), move || async move {
///         Ok(format!("{}\n", id * 2)) // Ask the database here.
///     });
///     Ok(Response::text(double.await?.to_string()))
/// }
///
/// async fn put(ctx: Ctx) -> Result<Response, Error> {
///     let id: u32 = ctx.param("id")?;
///     ctx.cache("doubles").write([id.to_string()], || async move {
///         Ok(()) // Change the database here.
///     }).await?;
///     Ok(Response::no_content())
/// }
///
/// let app = App::new()
///     .cache(CacheOptions::new("doubles").ttl_ms(60_000))
///     .get("/doubles/{id}", get)
///     .put("/doubles/{id}", put);
/// # let server = corelane::Server::new(app).listen(([127, 0, 0, 1], 0)).shards(1).unpinned();
/// # let server = server.start()?;
/// # for (method, status, end) in [("GET", "200", "84\n"), ("PUT", "204", ""), ("GET", "200", "84\n")] {
/// #     use std::io::{Read, Write};
/// #     let mut stream = std::net::TcpStream::connect(server.local_addr())?;
/// #     let lines = "Host: t\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// #     write!(stream, "{method} /doubles/42 HTTP/1.1\r\n{lines}")?;
/// #     let mut answer = String::new();
/// #     stream.read_to_string(&mut answer)?;
/// #     assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
/// #     assert!(answer.ends_with(end), "{answer}");
/// # }
/// # server.drain();
/// # server.wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Cache {
    pub(super) caches: Rc<Caches>,
    pub(super) number: u16,
    /// Tags of entries besides the cache's own.
    pub(super) tags: Option<Rc<[String]>>,
    /// Tags that writes invalidate besides the cache's own.
    pub(super) invalidates: Option<Rc<[String]>>,
}

impl Cache {
    pub(super) fn new(caches: Rc<Caches>, number: u16) -> Self {
        Self {
            caches,
            number,
            tags: None,
            invalidates: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.options().name
    }

    /// Its options.
    pub fn options(&self) -> &CacheOptions {
        let options = self.caches.options(self.number);
        options.expect("a handle is made for a cache of the app")
    }

    /// The same cache, for entries that depend on these tags too. An entry is
    /// found only with the tags it was kept with.
    #[must_use]
    pub fn tagged<T: Into<String>>(&self, tags: impl IntoIterator<Item = T>) -> Self {
        Self {
            tags: Some(with_more(&self.tags, tags)),
            ..self.clone()
        }
    }

    /// The same cache, for writes that invalidate these tags too.
    #[must_use]
    pub fn invalidating<T: Into<String>>(&self, tags: impl IntoIterator<Item = T>) -> Self {
        Self {
            invalidates: Some(with_more(&self.invalidates, tags)),
            ..self.clone()
        }
    }

    /// The value, from this shard, its home, or `load`; of all who ask at once
    /// on all shards one loads.
    ///
    /// A fresh copy on this shard is the answer at once, and `load` is not
    /// called. Else it is called to make the future, which is polled only if
    /// this request is the one that loads: whatever reads the data belongs into
    /// the future. What `load` itself uses of the request it may borrow.
    ///
    /// What the future gives is kept for the cache's time to live; its error
    /// goes to all who wait and is not kept. If it panics or is dropped, the
    /// next in line loads.
    ///
    /// # Errors
    /// `load`'s; 503 when too many requests wait; 500 when the key is kept with
    /// a value of another type.
    pub fn get_or_load<V, F, Fut>(&self, key: impl AsRef<[u8]>, load: F) -> CacheLookup<Cached<V>>
    where
        V: CacheValue,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, Error>> + 'static,
    {
        let load = || {
            let load = load();
            async { Ok(Payload::of(load.await?)) }
        };
        self.fetch(key.as_ref(), load, |item, hit| {
            Cached::new(item, hit)?.ok_or_else(|| {
                Error::internal("it is kept that this key has no value; ask with find_or_load")
            })
        })
    }

    /// [`get_or_load`](Self::get_or_load) of something that may not be there:
    /// that is kept too, for the negative time to live.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load).
    pub fn find_or_load<V, F, Fut>(
        &self,
        key: impl AsRef<[u8]>,
        load: F,
    ) -> CacheLookup<CacheEntry<V>>
    where
        V: CacheValue,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, Error>> + 'static,
    {
        let load = || {
            let load = load();
            async { Ok(load.await?.map_or(Payload::Nothing, Payload::of)) }
        };
        self.fetch(key.as_ref(), load, |item, hit| {
            let found = Cached::new(item, hit)?;
            Ok(found.map_or(CacheEntry::Nothing(hit), CacheEntry::Value))
        })
    }
}

fn with_more<T: Into<String>>(
    own: &Option<Rc<[String]>>,
    more: impl IntoIterator<Item = T>,
) -> Rc<[String]> {
    let own = own.iter().flat_map(|tags| tags.iter().cloned());
    own.chain(more.into_iter().map(Into::into)).collect()
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cache({:?})", self.name())
    }
}
