//! Sessions in Redis, in a build without the feature `redis`: there are none.

use std::rc::Rc;

use crate::Error;
use crate::redis::Redis;
use crate::session::{SessionHash, SessionRecord};

pub(crate) enum RedisSessions {}

impl RedisSessions {
    pub(super) fn new(redis: Redis, _: Rc<str>) -> Self {
        match redis {}
    }

    pub(super) async fn read(&self, _: &SessionHash) -> Result<Option<SessionRecord>, Error> {
        match *self {}
    }

    pub(super) async fn begin(
        &self,
        _: &SessionHash,
        _: &SessionRecord,
        _: Option<SessionHash>,
        _: i64,
    ) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn refresh(&self, _: &SessionHash, _: &SessionRecord, _: i64) -> bool {
        match *self {}
    }

    pub(super) async fn end(&self, _: &SessionHash) -> Result<(), Error> {
        match *self {}
    }
}
