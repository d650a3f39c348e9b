//! Keeping an answer.

use std::borrow::Cow;
use std::rc::Rc;

use http::{HeaderName, HeaderValue, Method};

use super::seek::vary_key;
use super::{AnswerCounts, AnswerPlan, unix_ms};
use crate::app::{Ctx, Response, is_of_answer};
use crate::engine;
use crate::limits::{ANSWER_HEADER_BYTES_MAX, ANSWER_HEADERS_MAX};
use crate::middleware::rate_limit::is_of_client;
use crate::redis::{Redis, RedisFault};
use crate::redis_codec::{
    AnswerRules, KeptAnswer, RequestRules, StoredAnswer, VaryNames, lifetime_ms,
};
use crate::semantics::join_lines;

/// What is needed of a request once its handler has it.
pub(super) struct RequestCopy {
    is_get: bool,
    headers: Vec<(String, Vec<u8>)>,
}

impl RequestCopy {
    pub(super) fn of(ctx: &Ctx) -> Self {
        let headers = ctx.headers();
        Self {
            is_get: *ctx.method() == Method::GET,
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()))
                .collect(),
        }
    }

    pub(super) fn has_conditions(&self) -> bool {
        self.headers.iter().any(|(name, _)| name.starts_with("if-"))
    }

    pub(super) fn header_all(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        let named = self.headers.iter().filter(move |(n, _)| n == name.as_str());
        named.map(|(_, value)| value.as_slice())
    }
}

/// What is to be written, and for how long.
struct Puts {
    keys: Vec<(Vec<u8>, Vec<u8>)>,
    lifetime_ms: u64,
}

impl AnswerPlan {
    /// Puts an answer there, if it may be kept, while nobody waits; whether it
    /// does.
    pub(super) fn put(
        self: &std::sync::Arc<Self>,
        counts: &Rc<AnswerCounts>,
        redis: Redis,
        base: Vec<u8>,
        rules: &RequestRules,
        request: &RequestCopy,
        response: &Response,
    ) -> bool {
        let Some(puts) = self.puts(base, rules, request, response) else {
            return false;
        };
        if !counts.start_put(&self.name) {
            counts.count(&self.name, |counters| counters.dropped += 1);
            return false;
        }
        let (plan, counts) = (self.clone(), counts.clone());
        engine::spawn_local(async move {
            let outcome = puts.write(&redis).await;
            counts.end_put(&plan.name);
            counts.count(&plan.name, |counters| match outcome {
                Ok(()) => counters.fills += 1,
                Err(_) => counters.failures += 1,
            });
        });
        true
    }

    fn puts(
        &self,
        base: Vec<u8>,
        request_rules: &RequestRules,
        request: &RequestCopy,
        response: &Response,
    ) -> Option<Puts> {
        let rules = AnswerRules::of(response.headers());
        let lifetime_ms = lifetime_ms(response.status(), &rules, self.ttl_ms)?;
        let is_for_all = !request_rules.is_personal || self.personal || rules.is_public;
        let body = response.body().as_bytes()?;
        if !request.is_get || !is_for_all || body.len() > self.bytes_max {
            return None;
        }
        let headers: Vec<(HeaderName, HeaderValue)> = response
            .headers()
            .filter(|(name, _)| !is_of_answer(name) && !is_of_client(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let bytes = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len());
        if headers.len() > ANSWER_HEADERS_MAX || bytes.sum::<usize>() > ANSWER_HEADER_BYTES_MAX {
            return None;
        }
        let names = VaryNames::of(response.headers())?;
        let answer = KeptAnswer::Answer(StoredAnswer {
            made_at_unix_ms: unix_ms(),
            lifetime_ms,
            is_public: rules.is_public,
            status: response.status(),
            headers,
            body: body.to_vec(),
        });
        let keys = match names.is_empty() {
            true => vec![(base, answer.encode())],
            false => {
                let key = vary_key(&base, &names, |name| {
                    join_lines(request.header_all(name)).map(Cow::into_owned)
                });
                vec![
                    (key, answer.encode()),
                    (base, KeptAnswer::Varies(names).encode()),
                ]
            }
        };
        Some(Puts { keys, lifetime_ms })
    }
}

impl Puts {
    async fn write(&self, redis: &Redis) -> Result<(), RedisFault> {
        let mut pipeline = ::redis::pipe();
        for (key, value) in &self.keys {
            let set = pipeline
                .cmd("SET")
                .arg(key.as_slice())
                .arg(value.as_slice());
            set.arg("PX").arg(self.lifetime_ms).ignore();
        }
        redis.pipeline::<()>(&pipeline).await
    }
}
