-- Makes roles and databases agree with access.json; run by start.sh at every start of a server that takes writes.
\set ON_ERROR_STOP on
\set QUIET on
\set access `cat /etc/postgres-secrets/access.json`

SET log_min_error_statement = panic;
SET log_statement = none;

CREATE TEMPORARY TABLE wanted_role AS
SELECT name, verifier, replication, connections
FROM jsonb_to_recordset(:'access'::jsonb -> 'roles')
  AS role (name text, verifier text, replication boolean, connections integer);

CREATE TEMPORARY TABLE wanted_database AS
SELECT name, owner
FROM jsonb_to_recordset(:'access'::jsonb -> 'databases') AS base (name text, owner text);

SELECT format('CREATE ROLE %I', name)
FROM wanted_role
WHERE name NOT IN (SELECT rolname FROM pg_roles)
\gexec

SELECT format(
  'ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS %s CONNECTION LIMIT %s PASSWORD %L',
  name,
  CASE WHEN replication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
  connections,
  verifier
)
FROM wanted_role
\gexec

SELECT format('ALTER ROLE %I NOLOGIN', rolname)
FROM pg_roles
WHERE rolcanlogin AND rolname <> current_user AND rolname NOT IN (SELECT name FROM wanted_role)
\gexec

SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0', name, owner)
FROM wanted_database
WHERE name NOT IN (SELECT datname FROM pg_database)
\gexec

SELECT format('ALTER DATABASE %I OWNER TO %I', name, owner)
FROM wanted_database
\gexec

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', datname)
FROM pg_database
\gexec

GRANT CONNECT ON DATABASE postgres TO replication, metrics;
GRANT pg_monitor TO metrics;

-- What pg_rewind asks a server for; a base backup, which replication may take anyway, holds as much.
GRANT pg_checkpoint TO replication;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean) TO replication;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_file(text, boolean) TO replication;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text) TO replication;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO replication;
