//! Looking an answer up.

use std::borrow::Cow;

use http::HeaderName;

use super::{AnswerPlan, URI_MISS, VARY_MISS, Why, counts_of, unix_ms};
use crate::app::Ctx;
use crate::redis::{Redis, RedisFault};
use crate::redis_codec::{
    KeptAnswer, RequestRules, StoredAnswer, VaryNames, canonical_target, hashed_key, varied_key,
};
use crate::semantics::join_lines;

/// What became of a look-up.
pub(super) enum AnswerLookup {
    Hit(StoredAnswer),
    Miss(Why),
    /// Redis is away or slow.
    Bypass,
}

impl AnswerPlan {
    /// The key of a request's URL. Of its scheme too: what sends a client who
    /// came without TLS elsewhere is no answer for one who is there.
    pub(super) fn key_of(&self, ctx: &Ctx) -> Vec<u8> {
        let mut key = format!("{}:{}:", self.key_prefix, self.name).into_bytes();
        let mut target = canonical_target(ctx.host(), ctx.path(), ctx.query_string());
        if ctx.is_secure() {
            // No host begins so.
            target.splice(..0, *b"https://");
        }
        key.extend_from_slice(&hashed_key(target));
        key
    }

    pub(super) async fn seek(
        &self,
        ctx: &Ctx,
        redis: &Redis,
        base: &[u8],
        rules: &RequestRules,
    ) -> AnswerLookup {
        let mut why = URI_MISS;
        let mut kept = self.read(ctx, redis, base).await;
        if let Ok(Some(KeptAnswer::Varies(names))) = kept {
            why = VARY_MISS;
            let key = vary_key(base, &names, |name| {
                join_lines(ctx.header_all(name)).map(Cow::into_owned)
            });
            kept = self.read(ctx, redis, &key).await;
        }
        match kept {
            Ok(Some(KeptAnswer::Answer(answer))) if self.serves(&answer, rules) => {
                AnswerLookup::Hit(answer)
            }
            Ok(_) => AnswerLookup::Miss(why),
            Err(_) => AnswerLookup::Bypass,
        }
    }

    fn serves(&self, answer: &StoredAnswer, rules: &RequestRules) -> bool {
        let now_unix_ms = unix_ms();
        let age_s = answer.age_ms(now_unix_ms) / 1_000;
        answer.left_ms(now_unix_ms) > 0
            && (!rules.is_personal || self.personal || answer.is_public)
            && rules.max_age_s.is_none_or(|most_s| age_s <= most_s)
    }

    async fn read(
        &self,
        ctx: &Ctx,
        redis: &Redis,
        key: &[u8],
    ) -> Result<Option<KeptAnswer>, RedisFault> {
        let bytes = match redis
            .run::<Option<Vec<u8>>>(::redis::cmd("GET").arg(key))
            .await
        {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            // Of another type; it will be written over.
            Err(RedisFault::Refused(text)) if text.contains("WRONGTYPE") => Vec::new(),
            Err(fault) => return Err(fault),
        };
        let kept = KeptAnswer::decode(&bytes);
        if kept.is_none() {
            counts_of(ctx).count(&self.name, |counters| counters.garbage += 1);
        }
        Ok(kept)
    }
}

/// The key of an answer that differs by these fields.
pub(super) fn vary_key(
    base: &[u8],
    names: &VaryNames,
    value_of: impl Fn(&HeaderName) -> Option<Vec<u8>>,
) -> Vec<u8> {
    let values = names.names().map(|name| {
        let header = HeaderName::from_bytes(name.as_bytes()).ok();
        header.and_then(|header| value_of(&header))
    });
    let values: Vec<Option<Vec<u8>>> = values.collect();
    let values = values.iter().map(Option::as_deref);
    varied_key(base, names.names().zip(values))
}
