-- Posts. Deleting a user deletes their posts: the API has no other way to
-- remove a post, so a refusal would make an author undeletable.
CREATE TABLE posts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    author_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX posts_by_author ON posts (author_id, id);
