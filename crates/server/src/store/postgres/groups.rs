//! Which tables a statement may have to wait for: a lock on one of them holds up
//! the statements of its groups and no others.

use corelane::postgres::Group;

/// What needs no table of the API.
pub(super) const NONE: Group = Group(0);
pub(super) const USERS: Group = Group(1);
pub(super) const POSTS: Group = Group(2);
pub(super) const POSTS_AND_AUTHORS: Group = Group(3);
pub(super) const SESSIONS: Group = Group(4);
/// Users and their passwords.
pub(super) const LOGINS: Group = Group(5);
/// Sessions and their users.
pub(super) const LOGGED_IN: Group = Group(6);

/// That statements of these groups are held up now, for an operator.
pub(super) fn warning(stuck: &[Group]) -> Option<String> {
    let tables = |group: &Group| match *group {
        USERS => "users",
        POSTS => "posts",
        POSTS_AND_AUTHORS => "posts or users",
        SESSIONS => "sessions",
        LOGINS => "users or credentials",
        LOGGED_IN => "sessions or users",
        _ => "schema_migrations",
    };
    let mut tables: Vec<&str> = stuck.iter().map(tables).collect();
    tables.sort_unstable();
    tables.dedup();
    (!tables.is_empty()).then(|| {
        format!(
            "statements on the table {} wait, as behind a lock (pg_locks): requests that need it \
             do too, others do not",
            tables.join(", ")
        )
    })
}
