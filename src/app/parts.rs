//! What the rooms above give an app and keep on its shards, found by its type:
//! so the app knows none of them, and is whole when one is left out.

use std::any::{Any, TypeId};
use std::rc::Rc;
use std::sync::Arc;

use http::Method;

use super::{App, AppError, Middleware};
use crate::metrics::ShardSnapshot;

/// What an app was told about one of them. A handful: a scan finds it.
#[derive(Clone, Default)]
pub(crate) struct Settings(Vec<Arc<dyn Any + Send + Sync>>);

impl Settings {
    /// From now on this one counts, of all of its type.
    pub(crate) fn set<T: Any + Send + Sync>(&mut self, setting: T) {
        self.0.insert(0, Arc::new(setting));
    }

    pub(crate) fn find<T: Any>(&self) -> Option<&T> {
        self.all().next()
    }

    /// All that were set, the one that counts first.
    pub(crate) fn all<T: Any>(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(|setting| setting.downcast_ref())
    }

    /// Takes over what an inner app was told; it counts where this one was not.
    pub(super) fn extend(&mut self, inner: Self) {
        self.0.extend(inner.0);
    }
}

/// What is to be found of an app at start that one of them cannot work with.
pub(crate) type AppCheck = fn(&App) -> Result<(), AppError>;

/// Says what stands before a route, or before whatever has none.
pub(crate) trait RouteRules: Send + Sync {
    /// `None` when nothing need.
    fn middleware_for(
        &self,
        method: Option<&Method>,
        pattern: Option<&str>,
    ) -> Option<Arc<dyn Middleware>>;
}

/// What one of them keeps on a shard.
pub(crate) trait ShardPart: Any {
    /// Adds what it has counted.
    fn count(&self, _snapshot: &mut ShardSnapshot) {}
}

/// What all of them keep on one shard.
#[derive(Default)]
pub(crate) struct ShardParts(Vec<Rc<dyn ShardPart>>);

impl ShardParts {
    pub(crate) fn add(&mut self, part: Rc<dyn ShardPart>) {
        self.0.push(part);
    }

    pub(super) fn find<T: ShardPart>(&self) -> Option<Rc<T>> {
        let is_wanted = |part: &&Rc<dyn ShardPart>| (***part).type_id() == TypeId::of::<T>();
        let part: Rc<dyn Any> = self.0.iter().find(is_wanted)?.clone();
        part.downcast().ok()
    }

    pub(super) fn count(&self, snapshot: &mut ShardSnapshot) {
        for part in &self.0 {
            part.count(snapshot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counted(u32);
    struct Silent;

    impl ShardPart for Counted {}
    impl ShardPart for Silent {}

    #[test]
    fn the_last_setting_of_an_app_counts_before_those_of_inner_apps() {
        let mut inner = Settings::default();
        inner.set(1_u32);
        inner.set("inner");
        let mut outer = Settings::default();
        outer.set(2_u32);
        outer.set(3_u32);
        outer.extend(inner);
        assert_eq!(outer.find(), Some(&3_u32));
        assert_eq!(outer.find(), Some(&"inner"));
        assert_eq!(outer.all::<u32>().collect::<Vec<_>>(), [&3, &2, &1]);
        assert_eq!(outer.find::<u64>(), None);
    }

    #[test]
    fn a_part_of_a_shard_is_found_by_its_type() {
        let mut parts = ShardParts::default();
        parts.add(Rc::new(Silent));
        parts.add(Rc::new(Counted(7)));
        assert_eq!(parts.find::<Counted>().unwrap().0, 7);
        assert!(parts.find::<Silent>().is_some());
        assert!(ShardParts::default().find::<Silent>().is_none());
    }
}
