//! Per-shard state: how an app has it built, and where handlers find it.

use std::any::{Any, TypeId};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::ShardInfo;
use crate::Error;

type StateFuture = Pin<Box<dyn Future<Output = Result<(TypeId, Rc<dyn Any>), Error>>>>;

pub(super) struct StateBuilder {
    pub(crate) of: StateType,
    pub(super) build: Box<dyn Fn(ShardInfo) -> StateFuture + Send + Sync>,
}

pub(crate) struct StateType {
    pub(super) id: TypeId,
    pub(super) name: &'static str,
}

impl StateType {
    pub(crate) fn of<S: 'static>() -> Self {
        Self {
            id: TypeId::of::<S>(),
            name: std::any::type_name::<S>(),
        }
    }
}

/// Finds a state that can do something, as `T`, whatever type it has.
pub(crate) type Find<T> = fn(&ShardStates) -> Option<Rc<T>>;

/// One shard's state, by type. A handful of entries: a scan beats hashing.
#[derive(Default)]
pub(crate) struct ShardStates(pub(super) Vec<(TypeId, Rc<dyn Any>)>);

impl ShardStates {
    pub(crate) fn find<S: 'static>(&self) -> Option<Rc<S>> {
        let wanted = TypeId::of::<S>();
        let (_, state) = self.0.iter().find(|(id, _)| *id == wanted)?;
        state.clone().downcast::<S>().ok()
    }
}
