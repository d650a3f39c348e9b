//! The users of servers without a database: bodies by id, read once at start.

use std::path::Path;

use serde::Deserialize;

/// Users by id, from 1 without a gap.
#[derive(Default)]
pub struct Users(Vec<User>);

/// What is answered for a user.
pub struct User {
    /// JSON, as in the file.
    pub body: String,
    /// With its quotes.
    pub etag: String,
}

#[derive(Deserialize)]
struct Fields {
    id: u64,
    version: u64,
}

impl Users {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path);
        let text = text.unwrap_or_else(|e| panic!("USERS_FILE {}: {e}", path.display()));
        let users = text.lines().enumerate().map(|(index, line)| {
            let number = index + 1;
            let fields: Fields = serde_json::from_str(line)
                .unwrap_or_else(|e| panic!("USERS_FILE line {number} is no user: {e}"));
            assert_eq!(fields.id, number as u64, "USERS_FILE: line i is user i");
            User {
                body: line.to_owned(),
                etag: format!("\"u{}-v{}\"", fields.id, fields.version),
            }
        });
        Self(users.collect())
    }

    /// The user that the end of a path names, if there is one.
    pub fn find(&self, id: &str) -> Option<&User> {
        let id: usize = id.parse().ok()?;
        self.0.get(id.checked_sub(1)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.0.iter()
    }
}
