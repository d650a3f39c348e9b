-- Every change of a user makes a new version, also one made by hand that does
-- not think of it: the version is the row's validator (ETag), and what caches
-- in Redis tell old rows from new ones by. corelane's own statements count it
-- up themselves and pay no more than the comparison.
CREATE FUNCTION corelane_count_version() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;

CREATE TRIGGER users_version BEFORE UPDATE ON users
    FOR EACH ROW WHEN (NEW.version <= OLD.version AND NEW IS DISTINCT FROM OLD)
    EXECUTE FUNCTION corelane_count_version();
