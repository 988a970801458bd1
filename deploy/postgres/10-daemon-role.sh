#!/bin/sh
# Run once by the image, over the new database: the daemon's own role, which owns nothing. Its rights are given by
# `db upgrade --grant-to agent` (the service `migrate`), after every upgrade anew. No password on a command line.
set -eu
export SECRETS="${SECRETS:-/run/secrets}"
psql --no-psqlrc -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set password `cat "$SECRETS/AGENT_DATABASE_PASSWORD"`
CREATE ROLE agent LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
SQL
