//! Every statement a shard runs, in one table: what is not here cannot be
//! prepared, so `explain` misses none. Each names the indexes its plan must
//! go by.
//!
//! A statement has one plan, made when a connection first runs it, whatever
//! the parameters and the statistics: see [`SESSION`]. The texts are written
//! so that this plan is the bounded one.

use std::borrow::Cow;
use std::fmt::Write;

pub(super) use crate::store::columns::Columns;
use crate::store::limits::USER_AGE_YEARS_MAX;

// Of `corelane.announced`, set for the one transaction, the triggers see
// whether they are to tell of it: see `announce`. It is set by each row that is
// about to be written, so before the triggers look, which is at the end.

/// Settings of a session that runs these statements.
///
/// The planner guesses that a LIMIT it does not know takes a tenth of the
/// rows, and would rather sort a big table than walk an index for that. All
/// lists are short, so the alternatives are taken from it; they remain
/// possible where there is no other way. A plan is made once: planning the
/// longest statement costs some 10 ms. `jit` would compile for seconds what
/// runs for one millisecond, because forbidden steps count as dear. The writes
/// are written for rows that others have changed meanwhile: what a role has by
/// itself (`default_transaction_isolation`) would refuse them.
pub(super) const SESSION: &str = "SET plan_cache_mode = force_generic_plan; \
    SET default_transaction_isolation = 'read committed'; \
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; \
    SET enable_incremental_sort = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
    SET max_parallel_workers_per_gather = 0; SET jit = off";

/// Declares [`Query`] with the text of each statement and the indexes its plan
/// must use.
macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident [$($index:literal),*] $sql:literal)*) => {
        /// A statement. `{columns}` in a text stands for asked-for columns,
        /// `{user}` for all, `{ages ...}` for its content once per age.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Query {
            $($(#[$doc])* $name,)*
        }

        impl Query {
            /// All of them.
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            fn template(self) -> &'static str {
                match self { $(Self::$name => $sql,)* }
            }

            /// Indexes its plan must use; of `a|b` either.
            pub(super) fn indexes(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($index),*],)* }
            }
        }
    };
}

catalogue! {
    /// A whole user.
    UserById ["users_pkey"]
        "SELECT {user} FROM users WHERE id = $1"
    /// Whole users.
    UsersByIds ["users_pkey"]
        "SELECT {user} FROM users WHERE id = ANY($1)"
    /// All users, as a stream.
    UsersAfter ["users_pkey"]
        "SELECT {user} FROM users WHERE id > $1 ORDER BY id"

    /// `sort=id`, no filter.
    PageUp ["users_pkey"]
        "SELECT {columns} FROM users WHERE id > $1 ORDER BY id LIMIT $2 OFFSET $3"
    /// `sort=-id`, no filter.
    PageDown ["users_pkey"]
        "SELECT {columns} FROM users WHERE id < $1 ORDER BY id DESC LIMIT $2 OFFSET $3"
    /// `sort=id`, those old enough of the next $4 rows.
    LookUp ["users_pkey"]
        "SELECT {columns} FROM
         (SELECT {columns} FROM users WHERE id > $1 ORDER BY id LIMIT $4) looked
         WHERE age >= $5 ORDER BY id LIMIT $2 OFFSET $3"
    /// `sort=-id`, those old enough of the next $4 rows.
    LookDown ["users_pkey"]
        "SELECT {columns} FROM
         (SELECT {columns} FROM users WHERE id < $1 ORDER BY id DESC LIMIT $4) looked
         WHERE age >= $5 ORDER BY id DESC LIMIT $2 OFFSET $3"
    /// `sort=id`, all of a name; nothing when they are $4 or more.
    LookNameUp ["users_by_name_age", "users_pkey"]
        "WITH named AS MATERIALIZED
         (SELECT id FROM users WHERE name = $6 AND age >= $5 ORDER BY age DESC, id LIMIT $4)
         SELECT {columns} FROM users WHERE (SELECT count(*) FROM named) < $4 AND id = ANY(ARRAY(
             SELECT id FROM named WHERE id > $1 ORDER BY id LIMIT $2 OFFSET $3))
         ORDER BY id"
    /// `sort=-id`, all of a name; nothing when they are $4 or more.
    LookNameDown ["users_by_name_age", "users_pkey"]
        "WITH named AS MATERIALIZED
         (SELECT id FROM users WHERE name = $6 AND age >= $5 ORDER BY age DESC, id LIMIT $4)
         SELECT {columns} FROM users WHERE (SELECT count(*) FROM named) < $4 AND id = ANY(ARRAY(
             SELECT id FROM named WHERE id < $1 ORDER BY id DESC LIMIT $2 OFFSET $3))
         ORDER BY id DESC"
    /// `sort=id`, merged from one index range per age.
    MergeUp ["users_by_age", "users_pkey"]
        "SELECT {user} FROM users WHERE id = ANY(ARRAY(SELECT id FROM (
         {ages (SELECT id FROM users WHERE age = {age} AND $4::bigint <= {age} AND id > $1
                ORDER BY id LIMIT $2::bigint + $3::bigint)}
         ) merged ORDER BY id LIMIT $2 OFFSET $3)) ORDER BY id"
    /// `sort=-id`, merged from one index range per age.
    MergeDown ["users_by_age", "users_pkey"]
        "SELECT {user} FROM users WHERE id = ANY(ARRAY(SELECT id FROM (
         {ages (SELECT id FROM users WHERE age = {age} AND $4::bigint <= {age} AND id < $1
                ORDER BY id DESC LIMIT $2::bigint + $3::bigint)}
         ) merged ORDER BY id DESC LIMIT $2 OFFSET $3)) ORDER BY id DESC"
    /// `sort=id`, one name, merged from one index range per age.
    MergeNameUp ["users_by_age_name|users_by_name_age", "users_pkey"]
        "SELECT {user} FROM users WHERE id = ANY(ARRAY(SELECT id FROM (
         {ages (SELECT id FROM users WHERE age = {age} AND $4::bigint <= {age} AND name = $5
                AND id > $1 ORDER BY id LIMIT $2::bigint + $3::bigint)}
         ) merged ORDER BY id LIMIT $2 OFFSET $3)) ORDER BY id"
    /// `sort=-id`, one name, merged from one index range per age.
    MergeNameDown ["users_by_age_name|users_by_name_age", "users_pkey"]
        "SELECT {user} FROM users WHERE id = ANY(ARRAY(SELECT id FROM (
         {ages (SELECT id FROM users WHERE age = {age} AND $4::bigint <= {age} AND name = $5
                AND id < $1 ORDER BY id DESC LIMIT $2::bigint + $3::bigint)}
         ) merged ORDER BY id DESC LIMIT $2 OFFSET $3)) ORDER BY id DESC"

    /// `sort=name` from its start, those old enough of the first $3 rows.
    LookNames ["users_by_name_age"]
        "SELECT {columns} FROM
         (SELECT {columns} FROM users ORDER BY name, age DESC, id LIMIT $3) looked
         WHERE age >= $4 ORDER BY name, age DESC, id LIMIT $1 OFFSET $2"
    /// `sort=name` after a row: the rest of its age, of its name, and those old
    /// enough of the next $5 rows.
    LookNamesAfter ["users_by_name_age"]
        "(SELECT {columns} FROM users WHERE name = $1 AND age = $2 AND age >= $6 AND id > $3
          ORDER BY id LIMIT $4)
         UNION ALL
         (SELECT {columns} FROM users WHERE name = $1 AND age < $2 AND age >= $6
          ORDER BY age DESC, id LIMIT $4)
         UNION ALL
         (SELECT {columns} FROM
          (SELECT {columns} FROM users WHERE name > $1 ORDER BY name, age DESC, id LIMIT $5) looked
          WHERE age >= $6 ORDER BY name, age DESC, id LIMIT $4)
         ORDER BY name, age DESC, id LIMIT $4"
    /// `sort=name`, one name.
    PageOfName ["users_by_name_age"]
        "SELECT {columns} FROM users WHERE name = $1 AND age >= $2
         ORDER BY age DESC, id LIMIT $3 OFFSET $4"
    /// `sort=name`, one name, after an age and id.
    PageOfNameAfter ["users_by_name_age"]
        "(SELECT {columns} FROM users WHERE name = $1 AND age = $3 AND age >= $2 AND id > $4
          ORDER BY id LIMIT $5)
         UNION ALL
         (SELECT {columns} FROM users WHERE name = $1 AND age < $3 AND age >= $2
          ORDER BY age DESC, id LIMIT $5)
         ORDER BY age DESC, id LIMIT $5"
    /// `sort=name`, the first of each age, and of those the first; not in
    /// order. After the name $1, and of that name after the age $2 and id $3.
    MergeNames ["users_by_age_name", "users_pkey"]
        "SELECT {user} FROM users WHERE id = ANY(ARRAY(
         SELECT first.id FROM generate_series($6::bigint, 150) AS a (age) CROSS JOIN LATERAL (
             (SELECT id, name FROM users WHERE age = a.age AND a.age <= $2 AND name = $1
              AND id > CASE WHEN a.age = $2 THEN $3 ELSE -9223372036854775808 END
              ORDER BY id LIMIT $4::bigint + $5::bigint)
             UNION ALL
             (SELECT id, name FROM users WHERE age = a.age AND name > $1
              ORDER BY name, id LIMIT $4::bigint + $5::bigint)
         ) first ORDER BY first.name, a.age DESC, first.id LIMIT $4 OFFSET $5))"

    /// Users nearest to a place, those at one distance in any order.
    Nearest ["users_by_place"]
        "SELECT {user} FROM users WHERE lat IS NOT NULL AND lon IS NOT NULL
         ORDER BY users_place(lat, lon) <-> users_place($1, $2) LIMIT $3"

    /// A post.
    PostById ["posts_pkey"]
        "SELECT id, author_id, title, body, created_at_ms, coalesce(updated_at_ms, created_at_ms)
         FROM posts WHERE id = $1"
    /// Posts.
    Posts ["posts_pkey"]
        "SELECT id, author_id, title, body, created_at_ms, coalesce(updated_at_ms, created_at_ms)
         FROM posts
         WHERE id > $1 ORDER BY id LIMIT $2 OFFSET $3"
    /// Posts with their authors.
    PostsAuthors ["posts_pkey", "users_pkey"]
        "SELECT p.id, p.author_id, p.title, p.body, p.created_at_ms,
             coalesce(p.updated_at_ms, p.created_at_ms), u.name, u.email
         FROM posts p JOIN users u ON u.id = p.author_id
         WHERE p.id > $1 ORDER BY p.id LIMIT $2 OFFSET $3"
    /// Posts of one author; written as one range of the index, so that no
    /// statistics can make a walk over everybody's posts look cheap.
    PostsOfAuthor ["posts_by_author"]
        "SELECT id, author_id, title, body, created_at_ms, coalesce(updated_at_ms, created_at_ms)
         FROM posts
         WHERE (author_id, id) > ($4, $1) AND author_id <= $4
         ORDER BY author_id, id LIMIT $2 OFFSET $3"
    /// Posts of one author with the author.
    PostsOfAuthorAuthors ["posts_by_author", "users_pkey"]
        "SELECT p.id, p.author_id, p.title, p.body, p.created_at_ms,
             coalesce(p.updated_at_ms, p.created_at_ms), u.name, u.email
         FROM posts p JOIN users u ON u.id = p.author_id
         WHERE (p.author_id, p.id) > ($4, $1) AND p.author_id <= $4
         ORDER BY p.author_id, p.id LIMIT $2 OFFSET $3"

    /// Proof that the database can be read.
    Ping ["schema_migrations_pkey"]
        "SELECT applied_at_ms FROM schema_migrations WHERE version = 1"

    /// A new user; nothing when somebody has the email. Asked first, because
    /// an insertion that fails uses up an id.
    UserInsert ["users_email_unique"]
        "INSERT INTO users (name, email, age, lat, lon, created_at_ms, updated_at_ms, version)
         SELECT $1::text, $2::text, $3::bigint, $4::float8, $5::float8, $6::bigint, $6, 1
         WHERE NOT EXISTS (SELECT FROM users WHERE lower(email) = lower($2 COLLATE \"C\"))
             AND set_config('corelane.announced', $7, true) IS NOT NULL
         RETURNING id"
    /// Replaces a user without a condition: the new row, if there is one.
    UserReplace ["users_pkey"]
        "UPDATE users SET name = $2, email = $3, age = $4, lat = $5, lon = $6,
             updated_at_ms = greatest($7, updated_at_ms), version = version + 1
         WHERE id = $1 AND set_config('corelane.announced', $8, true) IS NOT NULL
         RETURNING {user}"
    /// Changes what is not null ($7: and the place) if the condition holds:
    /// one of the versions $9, not written at $10 or later. Whether there is
    /// such a user; the new row, if the condition held.
    UserUpdate ["users_pkey"]
        "WITH current AS
         (SELECT id, version, updated_at_ms FROM users WHERE id = $1 FOR NO KEY UPDATE),
         changed AS (
             UPDATE users u SET name = coalesce($2, u.name), email = coalesce($3, u.email),
                 age = coalesce($4, u.age),
                 lat = CASE WHEN $7 THEN $5 ELSE u.lat END,
                 lon = CASE WHEN $7 THEN $6 ELSE u.lon END,
                 updated_at_ms = greatest($8, u.updated_at_ms), version = u.version + 1
             FROM current c WHERE u.id = $1 AND u.id = c.id
                 AND ($9::bigint[] IS NULL OR c.version = ANY($9))
                 AND ($10::bigint IS NULL OR c.updated_at_ms < $10)
                 AND set_config('corelane.announced', $11, true) IS NOT NULL
             RETURNING u.*
         )
         SELECT {user}, EXISTS (SELECT FROM current) AS found
         FROM (SELECT) one LEFT JOIN changed ON true"
    /// Deletes a user if the condition holds: one of the versions $2, not
    /// written at $3 or later. Whether there was one, and whether it is gone.
    UserDelete ["users_pkey"]
        "WITH current AS
         (SELECT id, version, updated_at_ms FROM users WHERE id = $1 FOR UPDATE),
         gone AS (
             DELETE FROM users u USING current c WHERE u.id = $1 AND u.id = c.id
                 AND ($2::bigint[] IS NULL OR c.version = ANY($2))
                 AND ($3::bigint IS NULL OR c.updated_at_ms < $3)
             RETURNING u.id
         )
         SELECT EXISTS (SELECT FROM current), EXISTS (SELECT FROM gone)"
    /// What a login is checked against.
    LoginByEmail ["users_email_unique", "credentials_pkey"]
        "SELECT u.id, c.password_hash FROM users u LEFT JOIN credentials c ON c.user_id = u.id
         WHERE lower(u.email) = lower($1 COLLATE \"C\")"
    /// Sets a password and ends the user's sessions; a row if there is a user.
    PasswordSet ["users_email_unique", "sessions_by_user"]
        "WITH who AS (SELECT id FROM users WHERE lower(email) = lower($1 COLLATE \"C\")),
         ended AS (DELETE FROM sessions USING who WHERE user_id = who.id)
         INSERT INTO credentials (user_id, password_hash, updated_at_ms)
         SELECT id, $2::text, $3::bigint FROM who
         ON CONFLICT (user_id) DO UPDATE
         SET password_hash = excluded.password_hash, updated_at_ms = excluded.updated_at_ms
         RETURNING user_id"
    /// A session.
    SessionByHash ["sessions_pkey"]
        "SELECT user_id, created_at_ms, seen_at_ms, expires_at_ms, ends_at_ms
         FROM sessions WHERE id_hash = $1"
    /// A new session in the place of $7, and some that expired before $8 away;
    /// a row if there is such a user.
    SessionBegin ["sessions_pkey", "sessions_by_expiry", "users_pkey"]
        "WITH who AS (SELECT id FROM users WHERE id = $2 FOR KEY SHARE),
         replaced AS (DELETE FROM sessions USING who WHERE id_hash = $7),
         old AS (SELECT id_hash FROM sessions WHERE expires_at_ms <= $8
             ORDER BY expires_at_ms LIMIT $9 FOR UPDATE SKIP LOCKED),
         expired AS (DELETE FROM sessions s USING old WHERE s.id_hash = old.id_hash)
         INSERT INTO sessions
             (id_hash, user_id, created_at_ms, seen_at_ms, expires_at_ms, ends_at_ms)
         SELECT $1::bytea, id, $3::bigint, $4::bigint, $5::bigint, $6::bigint FROM who
         RETURNING user_id"
    /// Writes down that a session was used.
    SessionRefresh ["sessions_pkey"]
        "UPDATE sessions SET seen_at_ms = $2, expires_at_ms = $3 WHERE id_hash = $1"
    /// Ends a session.
    SessionDelete ["sessions_pkey"]
        "DELETE FROM sessions WHERE id_hash = $1"
    /// What the foreign key does when a user is deleted; PostgreSQL gives no
    /// plan for that itself. The index on posts makes the difference.
    PostsDelete ["posts_by_author"]
        "DELETE FROM posts WHERE author_id = $1"
}

impl Query {
    /// Its text; `columns` matter only where the text asks for them.
    pub(super) fn sql(self, columns: Columns) -> Cow<'static, str> {
        let template = self.template();
        if !template.contains('{') {
            return Cow::Borrowed(template);
        }
        let text = template
            .replace("{user}", &Columns::ALL.sql())
            .replace("{columns}", &columns.sql());
        Cow::Owned(for_each_age(&text))
    }

    /// Whether its text depends on the asked-for columns.
    pub(super) fn has_columns(self) -> bool {
        self.template().contains("{columns}")
    }
}

/// Repeats what stands in `{ages ...}` for every age, by UNION ALL: a merge of
/// ranges that are each in order takes of each no more than it needs.
fn for_each_age(text: &str) -> String {
    const OPEN: &str = "{ages ";
    let Some(open) = text.find(OPEN) else {
        return text.to_owned();
    };
    let close = text.rfind('}').unwrap_or(text.len());
    let range = &text[open + OPEN.len()..close];
    let mut union = text[..open].to_owned();
    for age in 0..=USER_AGE_YEARS_MAX {
        let separator = if age == 0 { "" } else { " UNION ALL " };
        let range = range.replace("{age}", &age.to_string());
        // Writing to a String cannot fail.
        let _ = write!(union, "{separator}{range}");
    }
    union.push_str(text.get(close + 1..).unwrap_or_default());
    union
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UserField;

    #[test]
    fn texts_have_no_placeholders_left() {
        let columns = Columns::of(&[UserField::Email, UserField::Location]);
        for query in Query::ALL.iter().copied() {
            assert!(!query.sql(columns).contains(['{', '}']), "{query:?}");
        }
        let page = Query::PageUp.sql(columns);
        assert!(page.starts_with("SELECT email, lat, lon FROM"), "{page}");
        let merge = Query::MergeUp.sql(columns);
        assert_eq!(merge.matches("UNION ALL").count(), 150);
        assert!(merge.contains("age = 150 AND $4::bigint <= 150"), "{merge}");
    }
}
