-- A change made by hand makes a new version and raises the time of the last write:
-- both are what clients ask with whether they must read anew. corelane's own
-- statement sets both. (These triggers do not fire themselves: SQLite's triggers
-- are not recursive unless asked to be.)
CREATE TRIGGER users_changed_by_hand AFTER UPDATE ON users
WHEN NEW.version <= OLD.version
BEGIN
    UPDATE users SET version = OLD.version + 1, updated_at_ms = max(
        OLD.updated_at_ms, NEW.updated_at_ms,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
    WHERE id = NEW.id;
END;

-- Posts are changed by hand alone. Null: not since it was made.
ALTER TABLE posts ADD COLUMN updated_at_ms INTEGER;

CREATE TRIGGER posts_changed_by_hand AFTER UPDATE ON posts
WHEN NEW.updated_at_ms IS OLD.updated_at_ms
BEGIN
    UPDATE posts SET updated_at_ms = max(
        coalesce(OLD.updated_at_ms, 0), OLD.created_at_ms,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
    WHERE id = NEW.id;
END;
