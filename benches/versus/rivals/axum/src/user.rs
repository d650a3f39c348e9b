//! A user as a row and as JSON.

use axum::http::HeaderValue;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A row, with the members of its JSON in their order.
#[derive(Debug, Serialize)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub email: String,
    pub age: i64,
    pub location: Option<Location>,
    pub created_at: Time,
    pub updated_at: Time,
    pub version: i64,
}

/// WGS 84 degrees.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Location {
    pub lat: f64,
    pub lon: f64,
}

/// What POST and PUT give.
#[derive(Debug, Deserialize)]
pub struct NewUser {
    pub name: String,
    pub email: String,
    pub age: i64,
    pub location: Option<Location>,
}

impl NewUser {
    /// Whether the schema would take it.
    pub fn is_valid(&self) -> bool {
        let name = self.name.chars().count();
        (1..=100).contains(&name) && self.email.contains('@') && (0..=150).contains(&self.age)
    }
}

/// What is cached of a user: the answer but for its head.
#[derive(Debug, Clone)]
pub struct Finished {
    pub body: Bytes,
    pub etag: HeaderValue,
}

impl Finished {
    /// Of a row.
    pub fn of(user: &User) -> Self {
        let body = serde_json::to_vec(user).unwrap_or_default();
        Self::of_body(user.id, user.version, body.into())
    }

    /// Of the JSON of a row.
    pub fn of_body(id: i64, version: i64, body: Bytes) -> Self {
        let etag = Bytes::from(format!("\"u{id}-v{version}\""));
        let etag = HeaderValue::from_maybe_shared(etag);
        let etag = etag.unwrap_or(HeaderValue::from_static("\"\""));
        Self { body, etag }
    }
}

/// Milliseconds since the Unix epoch; in JSON RFC 3339 in UTC.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub i64);

impl Time {
    pub fn now() -> Self {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self(since.as_millis() as i64)
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::fmt::Display for Time {
    /// Days to civil date: Howard Hinnant.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let z = days + 719_468;
        let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let (d, m) = (
            doy - (153 * mp + 2) / 5 + 1,
            if mp < 10 { mp + 3 } else { mp - 9 },
        );
        let y = yoe + era * 400 + i64::from(m <= 2);
        let (h, mi, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        write!(
            f,
            "{y:04}-{m:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{:03}Z",
            ms % 1_000
        )
    }
}
