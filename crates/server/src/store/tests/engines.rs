//! A store works on either reactor.

use super::{Kind, person};
use crate::store::{StoreError, UserPatch, WriteCondition};
use corelane::engine::EngineKind;

both_stores!(writes_and_reads_on_io_uring, writes_and_reads_on_epoll);

fn writes_and_reads_on_io_uring(kind: Kind) {
    writes_and_reads(kind, EngineKind::IoUring);
}

fn writes_and_reads_on_epoll(kind: Kind) {
    writes_and_reads(kind, EngineKind::Epoll);
}

fn writes_and_reads(kind: Kind, engine: EngineKind) {
    let fixture = kind.fixture();
    fixture.on_engine(engine, async |store| {
        store.ping().await.unwrap();
        let made = store.create_user(person(1)).await.unwrap();
        let patch = UserPatch {
            age: Some(31),
            ..UserPatch::default()
        };
        let stale = WriteCondition::VersionIn(vec![7]);
        let refused = store.update_user(made.id, patch.clone(), stale).await;
        assert_eq!(refused, Err(StoreError::ConditionFailed));
        let current = WriteCondition::VersionIn(vec![made.version]);
        let written = store.update_user(made.id, patch, current).await.unwrap();
        assert_eq!(store.user(made.id).await.unwrap(), Some(written.clone()));
        let mut export = store.export_users();
        assert_eq!(export.next_batch().await.unwrap(), Some(vec![written]));
        assert_eq!(export.next_batch().await.unwrap(), None);
    });
}
