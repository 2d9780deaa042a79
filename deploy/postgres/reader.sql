-- The role that Grafana reads with: measurements and what was found in them, nothing else. No tokens,
-- no addresses of who is told. Can be run again; the role gets its password apart.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'qoe_reader') THEN
        CREATE ROLE qoe_reader LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
    END IF;
END $$;
ALTER ROLE qoe_reader CONNECTION LIMIT 20;
ALTER ROLE qoe_reader SET default_transaction_read_only = on;
-- A panel over too long a stretch ends by itself, and holds no lock for long.
ALTER ROLE qoe_reader SET statement_timeout = '15s';
ALTER ROLE qoe_reader SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE qoe_reader SET work_mem = '32MB';

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO qoe_reader;
GRANT SELECT ON agg_1m, agg_1h, agg_1d, clients, incidents, drifts, probe_gaps TO qoe_reader;
