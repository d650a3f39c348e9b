//! The rows of the API and the questions asked of them, the same for every
//! store. Times are milliseconds since the Unix epoch.

use serde::Serialize;

/// A point on Earth, WGS 84 degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Latitude, -90 to 90.
    pub lat: f64,
    /// Longitude, -180 to 180.
    pub lon: f64,
}

/// A whole user row.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Primary key, from 1.
    pub id: i64,
    /// 1 to 100 characters.
    pub name: String,
    /// Unique, compared case-insensitively.
    pub email: String,
    /// Years, 0 to 150.
    pub age: i64,
    /// Where they are, if they said so.
    pub location: Option<Location>,
    /// Creation time.
    pub created_at_ms: i64,
    /// Time of the last write.
    pub updated_at_ms: i64,
    /// 1 at creation, one more with each write.
    pub version: i64,
}

/// A column of `users` that a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum UserField {
    Id,
    Name,
    Email,
    Age,
    Location,
    CreatedAt,
    UpdatedAt,
    Version,
}

impl UserField {
    /// All of them, in the order they are shown.
    pub const ALL: [UserField; 8] = [
        Self::Id,
        Self::Name,
        Self::Email,
        Self::Age,
        Self::Location,
        Self::CreatedAt,
        Self::UpdatedAt,
        Self::Version,
    ];

    /// The name in JSON and in `fields=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Email => "email",
            Self::Age => "age",
            Self::Location => "location",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::Version => "version",
        }
    }
}

/// The asked columns of one user; a column not asked for is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct PartialUser {
    pub id: Option<i64>,
    pub name: Option<String>,
    pub email: Option<String>,
    pub age: Option<i64>,
    pub location: Option<Option<Location>>,
    pub created_at_ms: Option<i64>,
    pub updated_at_ms: Option<i64>,
    pub version: Option<i64>,
}

/// Orders of the users list. Each is total: ties go by id ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserSort {
    /// `sort=id`, the default.
    #[default]
    Id,
    /// `sort=-id`.
    IdDescending,
    /// `sort=name`: by name ascending, then age descending, the composite
    /// index.
    NameThenAge,
}

/// Where a page starts.
#[derive(Debug, Clone, PartialEq)]
pub enum PageStart {
    /// Skip this many rows; bounded by the caller.
    Offset(u64),
    /// Start after this row (keyset pagination): any depth at the same cost.
    After(Cursor),
}

/// The sort key of the last row of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    /// Id of the last row.
    pub id: i64,
    /// Its name and age when sorted by them.
    pub name_age: Option<(String, i64)>,
}

/// A users list query.
#[derive(Debug, Clone, PartialEq)]
pub struct UserQuery {
    /// Columns to read; never empty.
    pub fields: Vec<UserField>,
    /// The order.
    pub sort: UserSort,
    /// Exact name to match, by index.
    pub name: Option<String>,
    /// Lowest age, inclusive.
    pub min_age: Option<i64>,
    /// Where the page starts.
    pub start: PageStart,
    /// Rows wanted, 1 to 100.
    pub limit: u32,
}

/// One page of users.
#[derive(Debug, Clone, PartialEq)]
pub struct UserPage {
    /// At most `limit` rows.
    pub rows: Vec<PartialUser>,
    /// Cursor of the next page, if there may be one.
    pub next: Option<Cursor>,
}

/// What POST and PUT give; already validated.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct NewUser {
    pub name: String,
    pub email: String,
    pub age: i64,
    pub location: Option<Location>,
}

/// What PATCH gives; absent fields stay. Already validated.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct UserPatch {
    pub name: Option<String>,
    pub email: Option<String>,
    pub age: Option<i64>,
    /// `Some(None)` removes it.
    pub location: Option<Option<Location>>,
}

/// A condition on the current row, checked inside the writing transaction.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum WriteCondition {
    /// None.
    #[default]
    Always,
    /// If-Match: one of these versions.
    VersionIn(Vec<i64>),
    /// If-Unmodified-Since: not written after this second (Unix time).
    NotModifiedSince(i64),
}

/// A post.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Post {
    pub id: i64,
    pub author_id: i64,
    pub title: String,
    pub body: String,
    pub created_at_ms: i64,
    /// Later than that only where somebody changed it in the database.
    pub updated_at_ms: i64,
    /// With `populate=author`, the author from the same join.
    pub author: Option<PostAuthor>,
}

/// What a post shows of its author.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct PostAuthor {
    pub id: i64,
    pub name: String,
    pub email: String,
}

/// A posts list query; newest id last.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct PostQuery {
    pub author_id: Option<i64>,
    pub populate_author: bool,
    /// Keyset: ids greater than this.
    pub after_id: Option<i64>,
    pub offset: u64,
    pub limit: u32,
}

/// One page of posts.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct PostPage {
    pub rows: Vec<Post>,
    pub next_after_id: Option<i64>,
}

/// Why a store operation did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// No such row.
    NotFound,
    /// Another user has this email.
    DuplicateEmail,
    /// The write condition did not hold.
    ConditionFailed,
    /// A text that the database cannot hold, such as one with a NUL; nothing was
    /// written.
    Unstorable(String),
    /// Too many writes are waiting; nothing was written.
    Busy,
    /// The disk is full; nothing was written.
    DiskFull(String),
    /// The database cannot be used now; nothing was written.
    Unavailable(String),
    /// The write may or may not have been committed.
    OutcomeUnknown(String),
    /// Anything else: a bug or a damaged file.
    Failed(String),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such row"),
            Self::DuplicateEmail => f.write_str("another user has this email"),
            Self::ConditionFailed => f.write_str("the row has changed"),
            Self::Unstorable(why) => write!(f, "a text cannot be stored: {why}"),
            Self::Busy => f.write_str("too many writes are waiting"),
            Self::DiskFull(why) => write!(f, "the disk is full: {why}"),
            Self::Unavailable(why) => write!(f, "the database is unavailable: {why}"),
            Self::OutcomeUnknown(why) => write!(f, "the outcome of the write is unknown: {why}"),
            Self::Failed(why) => write!(f, "the database failed: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
