//! Every statement the server runs, in one table: what is not here cannot be
//! prepared, so `explain` misses none.
//!
//! Lists name their index: going by ANALYZE's statistics SQLite may otherwise
//! prefer a walk through the table. Each statement also names the range it
//! must search, and that is checked, because a plan can avoid scanning and
//! still visit a million rows: `id > ?` instead of `author_id = ? AND id > ?`.

use std::borrow::Cow;

pub(super) use crate::store::columns::Columns;

/// Declares [`Query`] with the text of each statement and the search its plan
/// must contain.
macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident [$($search:literal),*] $sql:literal)*) => {
        /// A statement. `{columns}` in a text stands for asked-for columns.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Query {
            $($(#[$doc])* $name,)*
        }

        impl Query {
            /// All of them.
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its text, perhaps with `{columns}`.
            pub(super) fn template(self) -> &'static str {
                match self { $(Self::$name => $sql,)* }
            }

            /// What its plan must contain.
            pub(super) fn searches(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($search),*],)* }
            }
        }
    };
}

catalogue! {
    /// A whole user.
    UserById ["users USING INTEGER PRIMARY KEY (rowid=?)"]
        "SELECT id, name, email, age, lat, lon, created_at_ms, updated_at_ms, version
         FROM users WHERE id = ?1"
    /// Whole users; ids as a JSON array.
    UsersByIds ["users USING INTEGER PRIMARY KEY (rowid=?)"]
        "SELECT id, name, email, age, lat, lon, created_at_ms, updated_at_ms, version
         FROM users WHERE id IN (SELECT value FROM json_each(?1))"
    /// A batch of an export.
    UsersAfter ["users USING INTEGER PRIMARY KEY (rowid>?)"]
        "SELECT id, name, email, age, lat, lon, created_at_ms, updated_at_ms, version
         FROM users WHERE id > ?1 ORDER BY id LIMIT ?2"

    /// `sort=id`, no filter.
    PageUp ["users USING INTEGER PRIMARY KEY (rowid>?)"]
        "SELECT {columns} FROM users WHERE id > ?1 ORDER BY id LIMIT ?2 OFFSET ?3"
    /// `sort=-id`, no filter.
    PageDown ["users USING INTEGER PRIMARY KEY (rowid<?)"]
        "SELECT {columns} FROM users WHERE id < ?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3"
    /// `sort=name`, later names.
    PageNames ["users_by_name_age (name>?)"]
        "SELECT {columns} FROM users INDEXED BY users_by_name_age
         WHERE name > ?1 ORDER BY name, age DESC, id LIMIT ?2 OFFSET ?3"
    /// `sort=name`, one name, a range of ages.
    PageOfName ["users_by_name_age (name=? AND age>? AND age<?)"]
        "SELECT {columns} FROM users INDEXED BY users_by_name_age
         WHERE name = ?1 AND age >= ?2 AND age <= ?3 ORDER BY age DESC, id LIMIT ?4 OFFSET ?5"
    /// `sort=name`, one name and age, later ids.
    PageOfNameAge ["users_by_name_age (name=? AND age=? AND rowid>?)"]
        "SELECT {columns} FROM users INDEXED BY users_by_name_age
         WHERE name = ?1 AND age = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
    /// A row of a filtered list.
    PageRow ["users USING INTEGER PRIMARY KEY (rowid=?)"]
        "SELECT {columns} FROM users WHERE id = ?1"

    /// Ids and ages in order of id.
    WalkUp ["users USING INTEGER PRIMARY KEY (rowid>?)"]
        "SELECT id, age FROM users WHERE id > ?1 ORDER BY id LIMIT ?2"
    /// Ids and ages in falling order of id.
    WalkDown ["users USING INTEGER PRIMARY KEY (rowid<?)"]
        "SELECT id, age FROM users WHERE id < ?1 ORDER BY id DESC LIMIT ?2"
    /// Sort keys in order of name.
    WalkNames ["COVERING INDEX users_by_name_age (name>?)"]
        "SELECT name, age, id FROM users INDEXED BY users_by_name_age
         WHERE name >= ?1 ORDER BY name, age DESC, id LIMIT ?2"
    /// Ids of one name.
    IdsOfName ["COVERING INDEX users_by_name_age (name=? AND age>?)"]
        "SELECT id FROM users INDEXED BY users_by_name_age
         WHERE name = ?1 AND age >= ?2 LIMIT ?3"
    /// Ids of one age, rising.
    IdsOfAgeUp ["COVERING INDEX users_by_age (age=? AND rowid>?)"]
        "SELECT id FROM users INDEXED BY users_by_age
         WHERE age = ?1 AND id > ?2 ORDER BY id"
    /// Ids of one age, falling.
    IdsOfAgeDown ["COVERING INDEX users_by_age (age=? AND rowid<?)"]
        "SELECT id FROM users INDEXED BY users_by_age
         WHERE age = ?1 AND id < ?2 ORDER BY id DESC"
    /// Ids of one age and name, rising.
    IdsOfAgeNameUp ["COVERING INDEX users_by_age_name (age=? AND name=? AND rowid>?)"]
        "SELECT id, name FROM users INDEXED BY users_by_age_name
         WHERE age = ?1 AND name = ?3 AND id > ?2 ORDER BY id"
    /// Ids of one age and name, falling.
    IdsOfAgeNameDown ["COVERING INDEX users_by_age_name (age=? AND name=? AND rowid<?)"]
        "SELECT id, name FROM users INDEXED BY users_by_age_name
         WHERE age = ?1 AND name = ?3 AND id < ?2 ORDER BY id DESC"
    /// Names and ids of one age, later names.
    NamesOfAge ["COVERING INDEX users_by_age_name (age=? AND name>?)"]
        "SELECT id, name FROM users INDEXED BY users_by_age_name
         WHERE age = ?1 AND name > ?2 ORDER BY name, id"

    /// Ids in a rectangle, perhaps a metre beyond.
    IdsInCell ["users_location VIRTUAL TABLE INDEX 2:"]
        "SELECT id FROM users_location
         WHERE max_lat >= ?1 AND min_lat <= ?2 AND max_lon >= ?3 AND min_lon <= ?4 LIMIT ?5"
    /// The exact place of a user.
    PlaceById ["users USING INTEGER PRIMARY KEY (rowid=?)"]
        "SELECT lat, lon FROM users WHERE id = ?1"

    /// A post.
    PostById ["posts USING INTEGER PRIMARY KEY (rowid=?)"]
        "SELECT id, author_id, title, body, created_at_ms, coalesce(updated_at_ms, created_at_ms)
         FROM posts WHERE id = ?1"
    /// Posts.
    Posts ["posts USING INTEGER PRIMARY KEY (rowid>?)"]
        "SELECT id, author_id, title, body, created_at_ms, coalesce(updated_at_ms, created_at_ms)
         FROM posts
         WHERE id > ?1 ORDER BY id LIMIT ?2 OFFSET ?3"
    /// Posts with their authors.
    PostsAuthors [
        "p USING INTEGER PRIMARY KEY (rowid>?)",
        "u USING INTEGER PRIMARY KEY (rowid=?)"
    ]
        "SELECT p.id, p.author_id, p.title, p.body, p.created_at_ms,
             coalesce(p.updated_at_ms, p.created_at_ms), u.name, u.email
         FROM posts p CROSS JOIN users u ON u.id = p.author_id
         WHERE p.id > ?1 ORDER BY p.id LIMIT ?2 OFFSET ?3"
    /// Posts of one author.
    PostsOfAuthor ["posts_by_author (author_id=? AND id>?)"]
        "SELECT id, author_id, title, body, created_at_ms, coalesce(updated_at_ms, created_at_ms)
         FROM posts INDEXED BY posts_by_author
         WHERE author_id = ?4 AND id > ?1 ORDER BY id LIMIT ?2 OFFSET ?3"
    /// Posts of one author with the author.
    PostsOfAuthorAuthors [
        "posts_by_author (author_id=? AND id>?)",
        "u USING INTEGER PRIMARY KEY (rowid=?)"
    ]
        "SELECT p.id, p.author_id, p.title, p.body, p.created_at_ms,
             coalesce(p.updated_at_ms, p.created_at_ms), u.name, u.email
         FROM posts p INDEXED BY posts_by_author CROSS JOIN users u ON u.id = p.author_id
         WHERE p.author_id = ?4 AND p.id > ?1 ORDER BY p.id LIMIT ?2 OFFSET ?3"

    /// Proof that the file can be read.
    Ping ["schema_migrations USING INTEGER PRIMARY KEY (rowid=?)"]
        "SELECT applied_at_ms FROM schema_migrations WHERE version = 1"

    /// A new user.
    UserInsert []
        "INSERT INTO users (name, email, age, lat, lon, created_at_ms, updated_at_ms, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1) RETURNING id"
    /// A changed user.
    UserUpdate ["users USING INTEGER PRIMARY KEY (rowid=?)"]
        "UPDATE users SET name = ?2, email = ?3, age = ?4, lat = ?5, lon = ?6,
         updated_at_ms = ?7, version = ?8 WHERE id = ?1"
    /// A deleted user.
    UserDelete ["users USING INTEGER PRIMARY KEY (rowid=?)"]
        "DELETE FROM users WHERE id = ?1"
    /// What the foreign key does when a user is deleted; SQLite gives no plan
    /// for that itself. The index on posts makes the difference.
    PostsDelete ["posts_by_author (author_id=?)"]
        "DELETE FROM posts WHERE author_id = ?1"

    /// What a login is checked against.
    LoginByEmail [
        "u USING COVERING INDEX users_by_email (email=?)",
        "c USING INTEGER PRIMARY KEY (rowid=?)"
    ]
        "SELECT u.id, c.password_hash FROM users u
         LEFT JOIN credentials c ON c.user_id = u.id WHERE u.email = ?1"
    /// A new or changed password.
    PasswordSet []
        "INSERT INTO credentials (user_id, password_hash, updated_at_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT (user_id) DO UPDATE
         SET password_hash = excluded.password_hash, updated_at_ms = excluded.updated_at_ms"
    /// A session.
    SessionByHash ["sessions USING PRIMARY KEY (id_hash=?)"]
        "SELECT user_id, created_at_ms, seen_at_ms, expires_at_ms, ends_at_ms
         FROM sessions WHERE id_hash = ?1"
    /// A new session, of a user who is there.
    SessionInsert ["users USING INTEGER PRIMARY KEY (rowid=?)"]
        "INSERT INTO sessions
         (id_hash, user_id, created_at_ms, seen_at_ms, expires_at_ms, ends_at_ms)
         SELECT ?1, id, ?3, ?4, ?5, ?6 FROM users WHERE id = ?2"
    /// A session that was used.
    SessionRefresh ["sessions USING PRIMARY KEY (id_hash=?)"]
        "UPDATE sessions SET seen_at_ms = ?2, expires_at_ms = ?3 WHERE id_hash = ?1"
    /// A session that was ended.
    SessionDelete ["sessions USING PRIMARY KEY (id_hash=?)"]
        "DELETE FROM sessions WHERE id_hash = ?1"
    /// Some sessions that have expired, oldest first.
    SessionsExpiredDelete [
        "sessions USING PRIMARY KEY (id_hash=?)",
        "COVERING INDEX sessions_by_expiry (expires_at_ms<?)"
    ]
        "DELETE FROM sessions WHERE id_hash IN
         (SELECT id_hash FROM sessions WHERE expires_at_ms <= ?1 ORDER BY expires_at_ms LIMIT ?2)"
    /// The sessions of a user whose password changed; what the foreign key does
    /// too.
    SessionsOfUserDelete ["sessions_by_user (user_id=?)"]
        "DELETE FROM sessions WHERE user_id = ?1"

    /// A random author: the first user from a random id on.
    SeedAuthor ["users USING INTEGER PRIMARY KEY (rowid>?)"]
        "SELECT id FROM users WHERE id >= ?1 ORDER BY id LIMIT 1"
    /// A post of demo data.
    PostInsert []
        "INSERT INTO posts (author_id, title, body, created_at_ms) VALUES (?1, ?2, ?3, ?4)"
}

impl Query {
    /// Its text; `columns` matter only where the text asks for them.
    pub(super) fn sql(self, columns: Columns) -> Cow<'static, str> {
        let template = self.template();
        if template.contains("{columns}") {
            Cow::Owned(template.replace("{columns}", &columns.sql()))
        } else {
            Cow::Borrowed(template)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UserField;

    #[test]
    fn columns_are_named_once_in_their_order() {
        let columns = Columns::of(&[UserField::Location, UserField::Email, UserField::Email]);
        assert_eq!(columns.and(&[UserField::Id]).sql(), "id, email, lat, lon");
        let sql = Query::PageUp.sql(columns);
        assert!(
            sql.starts_with("SELECT email, lat, lon FROM users"),
            "{sql}"
        );
        assert!(matches!(Query::UserById.sql(columns), Cow::Borrowed(_)));
    }
}
