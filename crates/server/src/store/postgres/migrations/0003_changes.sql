-- Tells whoever listens on corelane_changes what a statement wrote; PostgreSQL
-- delivers it when the writing transaction commits, and not if it does not.
--
--   <origin> <table> <id>:<version>,<id>:<version>,...
--
-- The origin is the setting corelane.origin of the writing session, - without
-- one. Posts have no version: 0. A deleted row's is x. Over 1,000 rows in one
-- statement, or TRUNCATE, it is * in place of ids. A payload may have 7,999
-- bytes; ids that do not fit go into further notifications.
CREATE FUNCTION corelane_notify() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    origin text := translate(left(current_setting('corelane.origin', true), 64), ' ', '_');
    head text := coalesce(nullif(origin, ''), '-') || ' ' || TG_TABLE_NAME || ' ';
    items text[];
    item text;
    payload text := '';
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_notify('corelane_changes', head || '*');
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        SELECT array_agg(id || ':x') INTO items FROM (SELECT id FROM changed LIMIT 1001) c;
    ELSIF TG_TABLE_NAME = 'users' THEN
        SELECT array_agg(id || ':' || version) INTO items
        FROM (SELECT id, version FROM changed LIMIT 1001) c;
    ELSE
        SELECT array_agg(id || ':0') INTO items FROM (SELECT id FROM changed LIMIT 1001) c;
    END IF;
    IF items IS NULL THEN
        RETURN NULL;
    END IF;
    IF cardinality(items) > 1000 THEN
        PERFORM pg_notify('corelane_changes', head || '*');
        RETURN NULL;
    END IF;
    FOREACH item IN ARRAY items LOOP
        IF octet_length(head) + octet_length(payload) + 1 + octet_length(item) > 7900 THEN
            PERFORM pg_notify('corelane_changes', head || payload);
            payload := '';
        END IF;
        payload := payload || CASE WHEN payload = '' THEN '' ELSE ',' END || item;
    END LOOP;
    PERFORM pg_notify('corelane_changes', head || payload);
    RETURN NULL;
END
$$;

CREATE TRIGGER users_inserted AFTER INSERT ON users
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION corelane_notify();
CREATE TRIGGER users_updated AFTER UPDATE ON users
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION corelane_notify();
CREATE TRIGGER users_deleted AFTER DELETE ON users
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION corelane_notify();
CREATE TRIGGER users_truncated AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION corelane_notify();

CREATE TRIGGER posts_inserted AFTER INSERT ON posts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION corelane_notify();
CREATE TRIGGER posts_updated AFTER UPDATE ON posts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION corelane_notify();
CREATE TRIGGER posts_deleted AFTER DELETE ON posts
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION corelane_notify();
CREATE TRIGGER posts_truncated AFTER TRUNCATE ON posts
    FOR EACH STATEMENT EXECUTE FUNCTION corelane_notify();
