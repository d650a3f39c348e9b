//! What is stored of a session, and when it is over. Times are milliseconds
//! since the Unix epoch, as every node sees them.

use super::SessionOptions;

/// A session as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRecord {
    /// Whose it is.
    pub user_id: i64,
    /// When it began.
    pub created_at_ms: i64,
    /// When it was last written down that it was used.
    pub seen_at_ms: i64,
    /// When it is over unless it is used; never after `ends_at_ms`.
    pub expires_at_ms: i64,
    /// When it is over whatever happens.
    pub ends_at_ms: i64,
}

/// Where a session stands at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// It is over.
    Expired,
    /// It goes on, and nothing needs writing.
    Live,
    /// It goes on, and this is to be stored.
    Refreshed(SessionRecord),
}

impl SessionRecord {
    /// A session that begins now.
    pub fn begin(user_id: i64, now_ms: i64, options: &SessionOptions) -> Self {
        let ends_at_ms = after(now_ms, options.absolute_ttl_ms);
        Self {
            user_id,
            created_at_ms: now_ms,
            seen_at_ms: now_ms,
            expires_at_ms: after(now_ms, options.sliding_ttl_ms).min(ends_at_ms),
            ends_at_ms,
        }
    }

    /// Judges a session that is used now. A use is written down when the last
    /// one that was is `refresh_ms` ago; so a session may end that much sooner
    /// after its last use than `sliding_ttl_ms` says. A clock set back makes
    /// none expire.
    pub fn judge(&self, now_ms: i64, options: &SessionOptions) -> SessionState {
        if now_ms >= self.expires_at_ms || now_ms >= self.ends_at_ms {
            return SessionState::Expired;
        }
        if now_ms < after(self.seen_at_ms, options.refresh_ms) {
            return SessionState::Live;
        }
        let expires_at_ms = after(now_ms, options.sliding_ttl_ms).min(self.ends_at_ms);
        SessionState::Refreshed(Self {
            seen_at_ms: now_ms,
            expires_at_ms,
            ..*self
        })
    }

    /// The record in [`RECORD_BYTES`] bytes: the version of this layout, then
    /// the fields in their order, big-endian.
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [VERSION; RECORD_BYTES];
        for (place, field) in bytes[1..].chunks_exact_mut(8).zip(self.fields()) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` when it is anything
    /// else, as a later version may have written.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, fields) = bytes.split_first()?;
        let (fields, rest) = fields.as_chunks::<8>();
        let &[
            user_id,
            created_at_ms,
            seen_at_ms,
            expires_at_ms,
            ends_at_ms,
        ] = fields
        else {
            return None;
        };
        (*version == VERSION && rest.is_empty()).then(|| Self {
            user_id: i64::from_be_bytes(user_id),
            created_at_ms: i64::from_be_bytes(created_at_ms),
            seen_at_ms: i64::from_be_bytes(seen_at_ms),
            expires_at_ms: i64::from_be_bytes(expires_at_ms),
            ends_at_ms: i64::from_be_bytes(ends_at_ms),
        })
    }

    fn fields(&self) -> [i64; FIELDS] {
        [
            self.user_id,
            self.created_at_ms,
            self.seen_at_ms,
            self.expires_at_ms,
            self.ends_at_ms,
        ]
    }
}

fn after(time_ms: i64, span_ms: u64) -> i64 {
    time_ms.saturating_add_unsigned(span_ms)
}

/// Length of a stored record.
pub const RECORD_BYTES: usize = 1 + FIELDS * 8;
const FIELDS: usize = 5;
const VERSION: u8 = 1;
