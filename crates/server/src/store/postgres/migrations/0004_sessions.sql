-- Sessions and password hashes; both go when their user does.
--
-- A session is found by the SHA-256 of its id; the id itself is nowhere.
-- expires_at_ms is the earlier of both its ends.
CREATE TABLE sessions (
    id_hash bytea PRIMARY KEY CHECK (length(id_hash) = 32),
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at_ms bigint NOT NULL,
    seen_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL,
    ends_at_ms bigint NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at_ms);

-- A user without a row cannot log in.
CREATE TABLE credentials (
    user_id bigint PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    password_hash text NOT NULL,
    updated_at_ms bigint NOT NULL
);
