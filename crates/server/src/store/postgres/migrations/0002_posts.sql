-- Posts. Deleting a user deletes their posts: the API has no other way to
-- remove a post, so a refusal would make an author undeletable.
CREATE TABLE posts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    author_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title text NOT NULL,
    body text NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE INDEX posts_by_author ON posts (author_id, id);
