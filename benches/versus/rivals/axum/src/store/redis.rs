//! The second level of the cache, by bb8-redis: finished answers under
//! `axum:users:{id}`, as the version in text, a line end, and the body.

use std::time::Duration;

use bb8_redis::RedisConnectionManager;
use bb8_redis::redis::{AsyncCommands, RedisError};
use bytes::Bytes;

use crate::settings::Settings;
use crate::user::Finished;

pub struct Redis {
    pool: bb8::Pool<RedisConnectionManager>,
    ttl_ms: u64,
}

impl Redis {
    /// Connects once, so that an address that is wrong is told now.
    pub async fn connect(url: &str, settings: &Settings) -> Result<Self, RedisError> {
        let pool = bb8::Pool::builder()
            .max_size(CONNECTIONS_MAX)
            .connection_timeout(Duration::from_secs(2))
            .build(RedisConnectionManager::new(url)?)
            .await?;
        let ttl_ms = settings.cache_ttl.as_millis().max(1) as u64;
        Ok(Self { pool, ttl_ms })
    }

    /// What is kept of this user. Without Redis nothing is.
    pub async fn find(&self, id: i64) -> Option<Finished> {
        let mut connection = self.pool.get().await.ok()?;
        let kept: Option<Vec<u8>> = connection.get(key(id)).await.ok()?;
        let kept = Bytes::from(kept?);
        let end = kept.iter().position(|byte| *byte == b'\n')?;
        let version = std::str::from_utf8(&kept[..end]).ok()?.parse().ok()?;
        Some(Finished::of_body(id, version, kept.slice(end + 1..)))
    }

    /// Keeps it for as long as the first level does.
    pub async fn keep(&self, id: i64, finished: &Finished) {
        let Ok(mut connection) = self.pool.get().await else {
            return;
        };
        let tag = finished.etag.to_str().unwrap_or_default();
        let version = tag
            .rsplit('v')
            .next()
            .unwrap_or_default()
            .trim_end_matches('"');
        let mut value = Vec::with_capacity(version.len() + 1 + finished.body.len());
        value.extend_from_slice(version.as_bytes());
        value.push(b'\n');
        value.extend_from_slice(&finished.body);
        let _: Result<(), _> = connection.pset_ex(key(id), value, self.ttl_ms).await;
    }

    pub async fn remove(&self, id: i64) {
        if let Ok(mut connection) = self.pool.get().await {
            let _: Result<(), _> = connection.del(key(id)).await;
        }
    }
}

fn key(id: i64) -> String {
    format!("axum:users:{id}")
}

const CONNECTIONS_MAX: u32 = 16;
