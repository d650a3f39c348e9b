//! A value out of a cache, and how it came.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;

use crate::Error;
use crate::cache::Payload;
use crate::clock::Millis;
use crate::coherence::{Freshness, Replica};

/// A value as this shard holds it. Counted without atomics.
#[derive(Debug)]
pub(crate) struct Item(Replica<Payload>);

impl Item {
    pub(super) fn new(replica: Replica<Payload>) -> Self {
        Self(replica)
    }

    pub(super) fn payload(&self) -> &Payload {
        &self.0.value
    }

    pub(super) fn freshness(&self) -> Freshness {
        self.0.freshness
    }
}

/// How a value was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HitKind {
    /// This shard had a copy.
    L1,
    /// This shard had a copy that has expired; it is being loaded anew.
    Stale,
    /// The key's home shard had it.
    Home,
    /// This request loaded it.
    Loaded,
    /// Another request was loading it, and this one waited for that.
    Collapsed,
    /// This request loaded it and it was not kept: somebody writes it, or its
    /// home is not to be reached.
    Bypass,
    /// Loading it failed, and an expired value stands in.
    StaleOnError,
}

impl HitKind {
    /// Whether no load had to be waited for.
    pub fn is_hit(self) -> bool {
        matches!(
            self,
            Self::L1 | Self::Stale | Self::Home | Self::StaleOnError
        )
    }
}

/// What [`Cache::find_or_load`](super::Cache::find_or_load) found.
#[derive(Debug, Clone)]
pub enum CacheEntry<V: 'static> {
    /// A value.
    Value(Cached<V>),
    /// That there is none.
    Nothing(HitKind),
}

impl<V: 'static> CacheEntry<V> {
    /// How it was come by.
    pub fn lookup(&self) -> HitKind {
        match self {
            Self::Value(cached) => cached.lookup(),
            Self::Nothing(lookup) => *lookup,
        }
    }

    /// The value, if there is one.
    pub fn into_value(self) -> Option<Cached<V>> {
        match self {
            Self::Value(cached) => Some(cached),
            Self::Nothing(_) => None,
        }
    }
}

/// A cached value: derefs to it. Cheap to clone; stays on its shard, and stays
/// as it is whatever happens to the cache.
pub struct Cached<V> {
    item: Rc<Item>,
    lookup: HitKind,
    of: PhantomData<Rc<V>>,
}

impl<V: 'static> Cached<V> {
    /// The item as a `V`; `None` when it says that there is nothing.
    pub(super) fn new(item: Rc<Item>, lookup: HitKind) -> Result<Option<Self>, Error> {
        match item.payload() {
            Payload::Nothing => return Ok(None),
            payload if payload.downcast::<V>().is_some() => {}
            payload => {
                return Err(Error::internal(format!(
                    "the cache has {payload:?} under this key, and a {} was asked for; give one \
                     of them a key or a cache of its own",
                    std::any::type_name::<V>()
                )));
            }
        }
        Ok(Some(Self {
            item,
            lookup,
            of: PhantomData,
        }))
    }
}

impl<V> Cached<V> {
    /// How it was come by.
    pub fn lookup(&self) -> HitKind {
        self.lookup
    }

    /// How long it stays fresh at `now_ms`, milliseconds.
    pub(super) fn left_ms(&self, now_ms: Millis) -> u64 {
        self.item.freshness().fresh_until_ms.saturating_sub(now_ms)
    }
}

impl<V: 'static> Deref for Cached<V> {
    type Target = V;

    fn deref(&self) -> &V {
        let value = self.item.payload().downcast();
        value.expect("checked when it was made")
    }
}

impl<V> Clone for Cached<V> {
    fn clone(&self) -> Self {
        Self {
            item: self.item.clone(),
            lookup: self.lookup,
            of: PhantomData,
        }
    }
}

impl<V: fmt::Debug + 'static> fmt::Debug for Cached<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cached({:?}, {:?})", &**self, self.lookup)
    }
}
