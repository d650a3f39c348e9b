-- Users, and the indexes every list of them walks.
--
-- Identity: an id is never used twice, so a cached or remembered id of a
-- deleted user cannot come to mean somebody else.
-- Collation C: names are ordered by their bytes, so that a cursor means the
-- same place in every store, whatever the locale of the server.
-- The bound on age is relied upon: lists filtered by age visit one index range
-- per age (see store/postgres/list.rs).
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    email text COLLATE "C" NOT NULL CHECK (email <> ''),
    age bigint NOT NULL CHECK (age BETWEEN 0 AND 150),
    lat double precision CHECK (lat BETWEEN -90 AND 90),
    lon double precision CHECK (lon BETWEEN -180 AND 180),
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    CHECK ((lat IS NULL) = (lon IS NULL))
);

-- ASCII letters compare equal in either case; others byte by byte.
CREATE UNIQUE INDEX users_email_unique ON users (lower(email));
CREATE INDEX users_by_name_age ON users (name, age DESC, id);
CREATE INDEX users_by_age ON users (age, id);
CREATE INDEX users_by_age_name ON users (age, name, id);

-- Where somebody is, as a point of space: its distances order users as
-- great-circle distances do. It is what earthdistance's ll_to_earth gives.
-- That function finds its own parts by the search path when it runs, so a
-- dump with an index over it cannot be restored; here they are bound now.
CREATE FUNCTION users_place(lat double precision, lon double precision) RETURNS cube
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN cube(ARRAY[
    earth() * cos(radians(lat)) * cos(radians(lon)),
    earth() * cos(radians(lat)) * sin(radians(lon)),
    earth() * sin(radians(lat))
]);

CREATE INDEX users_by_place ON users USING gist (users_place(lat, lon))
WHERE lat IS NOT NULL AND lon IS NOT NULL;
