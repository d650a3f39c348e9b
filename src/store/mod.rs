//! The database behind the API: one process-wide [`Database`] (migrations, the
//! writer), one [`Store`] per shard (its own reading connection).

mod model;
mod sqlite;

pub use model::*;
