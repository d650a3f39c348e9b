-- A write whose session will tell of it by itself, after the commit, is not
-- told of by the trigger: the setting corelane.announced, made for the one
-- transaction by the statement that writes. PostgreSQL keeps transactions that
-- notify apart by one lock over the whole cluster, from before their commit
-- until it is on the disk, so that they could not be flushed together. What a
-- trigger of somebody else changes beside is told of as ever. (Replaced, not
-- dropped: that would wait for every reader, and everybody else for it.)
CREATE OR REPLACE TRIGGER users_inserted AFTER INSERT ON users
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT
    WHEN (coalesce(current_setting('corelane.announced', true), '') = '' OR pg_trigger_depth() > 0)
    EXECUTE FUNCTION corelane_notify();
CREATE OR REPLACE TRIGGER users_updated AFTER UPDATE ON users
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT
    WHEN (coalesce(current_setting('corelane.announced', true), '') = '' OR pg_trigger_depth() > 0)
    EXECUTE FUNCTION corelane_notify();
