//! What caches keep: immutable values, shared by reference count.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

/// A value a cache can keep. It is shared by all shards and never changed.
///
/// ```
/// use corelane_proto::cache::CacheValue;
///
/// struct User {
///     name: String,
/// }
///
/// impl CacheValue for User {
///     fn weight_bytes(&self) -> usize {
///         size_of::<Self>() + self.name.capacity()
///     }
/// }
/// ```
pub trait CacheValue: Send + Sync + 'static {
    /// What it takes of the cache's budget: its own size and the heap memory it
    /// owns, bytes. Must not change.
    fn weight_bytes(&self) -> usize;
}

impl CacheValue for Bytes {
    fn weight_bytes(&self) -> usize {
        size_of::<Self>() + self.len()
    }
}

impl CacheValue for String {
    fn weight_bytes(&self) -> usize {
        size_of::<Self>() + self.capacity()
    }
}

impl<T: Copy + Send + Sync + 'static> CacheValue for Vec<T> {
    fn weight_bytes(&self) -> usize {
        size_of::<Self>() + self.capacity() * size_of::<T>()
    }
}

impl<T: CacheValue> CacheValue for Arc<T> {
    fn weight_bytes(&self) -> usize {
        size_of::<Self>() + T::weight_bytes(self)
    }
}

macro_rules! weighs_its_size {
    ($($kind:ty),+) => {$(
        impl CacheValue for $kind {
            fn weight_bytes(&self) -> usize {
                size_of::<Self>()
            }
        }
    )+};
}

weighs_its_size!(
    u8,
    u16,
    u32,
    u64,
    i8,
    i16,
    i32,
    i64,
    f32,
    f64,
    bool,
    char,
    ()
);

/// A value of whatever type as it goes from shard to shard.
#[derive(Clone)]
pub enum Payload {
    /// There is a value.
    Value {
        /// It.
        value: Arc<dyn Any + Send + Sync>,
        /// What it weighs.
        bytes: usize,
        /// The name of its type, for the message when another is asked for.
        type_name: &'static str,
    },
    /// It is known that there is none.
    Nothing,
    /// The present name of a tag: what depends on the tag is kept under it.
    Token(u64),
}

/// What a value is taken to weigh at most.
const WEIGHT_BYTES_MAX: usize = usize::MAX / 4;

/// A value whose `Drop` may panic: it is dropped in the middle of the
/// protocol's work, on whichever shard lets go of it last, and must not end
/// that. Only here is it taken out.
struct Shielded<V>(Option<V>);

impl<V> Drop for Shielded<V> {
    fn drop(&mut self) {
        let value = self.0.take();
        // The panic has been printed by the hook.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
    }
}

impl Payload {
    /// A value to keep.
    pub fn of<V: CacheValue>(value: V) -> Self {
        Self::Value {
            // So that no sum of weights overflows.
            bytes: value.weight_bytes().min(WEIGHT_BYTES_MAX),
            value: Arc::new(Shielded(Some(value))),
            type_name: std::any::type_name::<V>(),
        }
    }

    /// What it weighs, bytes.
    pub fn weight_bytes(&self) -> usize {
        match self {
            Self::Value { bytes, .. } => size_of::<Self>() + bytes,
            Self::Nothing | Self::Token(_) => size_of::<Self>(),
        }
    }

    /// The value, if it is one of this type.
    pub fn downcast<V: 'static>(&self) -> Option<&V> {
        match self {
            Self::Value { value, .. } => value.downcast_ref::<Shielded<V>>()?.0.as_ref(),
            Self::Nothing | Self::Token(_) => None,
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value {
                bytes, type_name, ..
            } => write!(f, "{type_name} of {bytes} bytes"),
            Self::Nothing => f.write_str("nothing"),
            Self::Token(token) => write!(f, "token {token:x}"),
        }
    }
}
