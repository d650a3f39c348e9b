//! Keeps the API's caches right when others write: other nodes, or somebody
//! with a shell on the database. One task per process listens; what it hears
//! goes to the homes of the keys.
//!
//! A change is seen here some moment after it was committed elsewhere. When
//! the connection over which changes are told is lost, everything cached so far
//! counts as stale until it is back, see [`Feed`](corelane::Feed).

use std::collections::BTreeSet;

use super::cached::{POSTS_TAG, USERS_CACHE, USERS_TAG};
use crate::store::{Change, ChangeEvent, ChangedRows, ChangedTable, Store};
use corelane::internals::l2::RowCache;
use corelane::{Background, Cache, Feed};

/// The task.
pub(super) async fn follow(shard: Background) {
    let (Some(store), Some(feed)) = (shard.state::<Store>(), shard.feed().cloned()) else {
        return;
    };
    let Some(mut changes) = store.changes() else {
        return;
    };
    // However this task ends, nobody listens then.
    let _cut = CutOnDrop(feed.clone());
    let users = shard.cache(USERS_CACHE);
    let Some(rows) = shard.state::<RowCache>() else {
        return;
    };
    loop {
        match changes.next().await {
            ChangeEvent::Running => {
                // Whatever was changed while nobody listened.
                rows.changed_any().await;
                if feed.resume() && feed.cuts() > 0 {
                    shard.log("changes made elsewhere are told again; the caches work again");
                }
            }
            ChangeEvent::Lost(why) => {
                feed.cut();
                shard.log(format!(
                    "changes made elsewhere are not told now ({why}): nothing cached counts as \
                     fresh until they are"
                ));
            }
            ChangeEvent::Changed(changes) => {
                feed.note(changes.len());
                if !apply(&shard, &users, &rows, &changes).await {
                    rows.changed_any().await;
                    // No message has to reach anybody for it.
                    feed.renew();
                }
            }
        }
    }
}

/// Forgets what depends on changed rows; false if it cannot be told which those
/// are, or not all who have them could be reached.
async fn apply(shard: &Background, users: &Cache, second: &RowCache, changes: &[Change]) -> bool {
    let mut changed = Vec::new();
    let mut tags = BTreeSet::new();
    for change in changes {
        match (change.table, &change.rows) {
            (_, ChangedRows::Any) => return false,
            (ChangedTable::Users, ChangedRows::These(rows)) => {
                tags.insert(USERS_TAG);
                changed.extend(rows.iter().map(|row| (row.id, row.version)));
            }
            (ChangedTable::Posts, ChangedRows::These(_)) => drop(tags.insert(POSTS_TAG)),
        }
    }
    // First, or the caches would load the old rows from there.
    second.changed(&changed).await;
    let ids = changed.iter().map(|(id, _)| id.to_string());
    if users.invalidate(ids).await.is_err() {
        return false;
    }
    for tag in tags {
        if shard.invalidate_tag(tag).await.is_err() {
            return false;
        }
    }
    true
}

struct CutOnDrop(Feed);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}
