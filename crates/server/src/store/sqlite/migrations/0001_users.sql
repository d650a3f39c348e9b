-- Users, and the indexes every list of them walks.
--
-- AUTOINCREMENT: an id is never used twice, so a cached or remembered id of a
-- deleted user cannot come to mean somebody else.
-- NOCASE on email: ASCII letters compare equal in either case; others are
-- compared byte by byte.
-- The bound on age is relied upon: lists filtered by age visit one index range
-- per age (see store/sqlite/list.rs).
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL CHECK (name <> ''),
    email TEXT NOT NULL COLLATE NOCASE CHECK (email <> ''),
    age INTEGER NOT NULL CHECK (age BETWEEN 0 AND 150),
    lat REAL CHECK (lat BETWEEN -90 AND 90),
    lon REAL CHECK (lon BETWEEN -180 AND 180),
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    CHECK ((lat IS NULL) = (lon IS NULL))
) STRICT;

CREATE UNIQUE INDEX users_by_email ON users (email);
CREATE INDEX users_by_name_age ON users (name ASC, age DESC);
CREATE INDEX users_by_age ON users (age);
CREATE INDEX users_by_age_name ON users (age, name);

-- The R*Tree rounds coordinates outward to 32 bits: it finds candidates, the
-- exact place is the one in `users`.
CREATE VIRTUAL TABLE users_location USING rtree (id, min_lat, max_lat, min_lon, max_lon);

CREATE TRIGGER users_location_insert AFTER INSERT ON users
WHEN NEW.lat IS NOT NULL
BEGIN
    INSERT INTO users_location VALUES (NEW.id, NEW.lat, NEW.lat, NEW.lon, NEW.lon);
END;

CREATE TRIGGER users_location_update AFTER UPDATE OF lat, lon ON users
WHEN OLD.lat IS NOT NEW.lat OR OLD.lon IS NOT NEW.lon
BEGIN
    DELETE FROM users_location WHERE id = OLD.id;
    INSERT INTO users_location
        SELECT NEW.id, NEW.lat, NEW.lat, NEW.lon, NEW.lon WHERE NEW.lat IS NOT NULL;
END;

CREATE TRIGGER users_location_delete AFTER DELETE ON users
WHEN OLD.lat IS NOT NULL
BEGIN
    DELETE FROM users_location WHERE id = OLD.id;
END;
