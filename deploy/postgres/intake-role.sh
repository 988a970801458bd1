#!/bin/sh
# Makes the role of the intake, which owns nothing, or gives it the password of its file. Its rights are given by
# `db upgrade --grant-intake-to intake` (the service `migrate`), after every upgrade anew. No password on a command line.
set -eu
export SECRETS="${SECRETS:-/run/secrets}"
PGPASSWORD="$(cat "$SECRETS/POSTGRES_PASSWORD")"
export PGPASSWORD
psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 <<'SQL'
\set password `cat "$SECRETS/INTAKE_DATABASE_PASSWORD"`
SELECT 'CREATE ROLE intake' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'intake') \gexec
ALTER ROLE intake LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
SQL
