-- Roles for telemetra in database {database}, tables in schema {schema}.
-- Run it there as a superuser, before `telemetra migrate` or after; running it again does no harm:
--     psql -d DATABASE -v ON_ERROR_STOP=1 -f THIS_FILE
-- The roles have no passwords yet: \password telemetra_migrate, and so on.
--
--   telemetra_migrate   runs `telemetra migrate`; owns the tables, the only one that makes and changes them
--   telemetra_ingest    runs `telemetra run`; reads, inserts and updates; makes, drops and deletes nothing. It may end
--                       backends of its own role (pg_terminate_backend), which is how it takes over from a frozen one
--   telemetra_read      runs `status`, `audit`, dashboards and people; reads, each statement for 5 seconds at most
BEGIN;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'telemetra_migrate') THEN CREATE ROLE telemetra_migrate; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'telemetra_ingest') THEN CREATE ROLE telemetra_ingest; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'telemetra_read') THEN CREATE ROLE telemetra_read; END IF;
END $$;
ALTER ROLE telemetra_migrate LOGIN CONNECTION LIMIT 5;
-- One instance, one in wait for it, and connections whose end the server has not noticed.
ALTER ROLE telemetra_ingest LOGIN CONNECTION LIMIT 20;
ALTER ROLE telemetra_read LOGIN CONNECTION LIMIT 50;

-- Names without a schema mean the same for all, whatever others make in other schemas.
ALTER ROLE telemetra_migrate IN DATABASE {database} SET search_path = {schema}, pg_temp;
ALTER ROLE telemetra_ingest IN DATABASE {database} SET search_path = {schema}, pg_temp;
ALTER ROLE telemetra_read IN DATABASE {database} SET search_path = {schema}, pg_temp;
ALTER ROLE telemetra_read IN DATABASE {database} SET default_transaction_read_only = on;
ALTER ROLE telemetra_read IN DATABASE {database} SET statement_timeout = '5s';

GRANT CONNECT ON DATABASE {database} TO telemetra_migrate, telemetra_ingest, telemetra_read;
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE SCHEMA IF NOT EXISTS {ledger};
GRANT USAGE, CREATE ON SCHEMA {schema}, {ledger} TO telemetra_migrate;
GRANT USAGE ON SCHEMA {schema}, {ledger} TO telemetra_ingest, telemetra_read;
REVOKE CREATE ON SCHEMA {schema}, {ledger} FROM telemetra_ingest, telemetra_read;

DO $$
BEGIN
    -- Before version 15 everybody may make tables in schema public.
    IF current_setting('server_version_num')::int < 150000 THEN
        REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC;
    END IF;
END $$;

-- Tables that telemetra_migrate makes later.
ALTER DEFAULT PRIVILEGES FOR ROLE telemetra_migrate IN SCHEMA {schema}, {ledger}
    GRANT SELECT, INSERT, UPDATE ON TABLES TO telemetra_ingest;
ALTER DEFAULT PRIVILEGES FOR ROLE telemetra_migrate IN SCHEMA {schema}, {ledger}
    GRANT USAGE ON SEQUENCES TO telemetra_ingest;
ALTER DEFAULT PRIVILEGES FOR ROLE telemetra_migrate IN SCHEMA {schema}, {ledger}
    GRANT SELECT ON TABLES TO telemetra_read;

-- Tables that are there: telemetra's, and those of the old job that it adopts, partitions included. They come to belong
-- to telemetra_migrate; who owned them before may read and write them as before, so that the old job goes on.
DO $$
DECLARE
    node record;
    seq record;
BEGIN
    FOR node IN
        WITH RECURSIVE tree AS (
            SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p')
              AND (n.nspname = {schema_text} AND c.relname IN ({results})
                OR n.nspname = {ledger_text} AND c.relname IN ({ledger_tables}, 'schema_version'))
            UNION ALL
            SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
            JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition)
        SELECT format('%I.%I', n.nspname, c.relname) AS path, c.oid, pg_get_userbyid(c.relowner) AS owner
        FROM tree JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
    LOOP
        -- Sequences of its columns go along.
        IF node.owner <> 'telemetra_migrate' THEN
            EXECUTE format('ALTER TABLE %s OWNER TO telemetra_migrate', node.path);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', node.path, node.owner);
        END IF;
        FOR seq IN
            SELECT format('%I.%I', n.nspname, c.relname) AS path
            FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
              AND d.refobjid = node.oid AND d.deptype IN ('a', 'i')
        LOOP
            EXECUTE format('GRANT USAGE ON SEQUENCE %s TO telemetra_ingest', seq.path);
            IF node.owner <> 'telemetra_migrate' THEN
                EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %s TO %I', seq.path, node.owner);
            END IF;
        END LOOP;
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %s TO telemetra_ingest', node.path);
        EXECUTE format('GRANT SELECT ON %s TO telemetra_read', node.path);
    END LOOP;
END $$;

-- The views, which read the tables with the rights of their owner.
DO $$
DECLARE
    node record;
BEGIN
    FOR node IN
        SELECT format('%I.%I', n.nspname, c.relname) AS path, pg_get_userbyid(c.relowner) AS owner
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'v' AND n.nspname = {schema_text} AND c.relname IN ({views})
    LOOP
        IF node.owner <> 'telemetra_migrate' THEN
            EXECUTE format('ALTER VIEW %s OWNER TO telemetra_migrate', node.path);
            EXECUTE format('GRANT SELECT ON %s TO %I', node.path, node.owner);
        END IF;
        EXECUTE format('GRANT SELECT ON %s TO telemetra_ingest, telemetra_read', node.path);
    END LOOP;
END $$;

COMMIT;
