-- A change made by hand raises the time of the last write too, as it raises the
-- version: a client that has kept Last-Modified would else never hear of it.
-- corelane's own statements set both; of them this runs only where two come within
-- a millisecond, and changes nothing then.
CREATE OR REPLACE FUNCTION corelane_count_version() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.version <= OLD.version THEN
        NEW.version := OLD.version + 1;
    END IF;
    IF NEW.updated_at_ms <= OLD.updated_at_ms THEN
        NEW.updated_at_ms := greatest(
            OLD.updated_at_ms, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER users_version BEFORE UPDATE ON users
    FOR EACH ROW WHEN (NEW IS DISTINCT FROM OLD
        AND (NEW.version <= OLD.version OR NEW.updated_at_ms <= OLD.updated_at_ms))
    EXECUTE FUNCTION corelane_count_version();

-- Posts are changed by hand alone. Null: not since it was made.
ALTER TABLE posts ADD COLUMN updated_at_ms bigint;

CREATE OR REPLACE FUNCTION corelane_note_update() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at_ms := greatest(OLD.updated_at_ms, OLD.created_at_ms,
        floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
    RETURN NEW;
END
$$;

CREATE TRIGGER posts_updated_at BEFORE UPDATE ON posts
    FOR EACH ROW WHEN (NEW IS DISTINCT FROM OLD
        AND NEW.updated_at_ms IS NOT DISTINCT FROM OLD.updated_at_ms)
    EXECUTE FUNCTION corelane_note_update();
