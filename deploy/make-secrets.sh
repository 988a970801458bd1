#!/bin/sh
# Makes deploy/secrets/ for compose.yaml and compose.intake.yaml: draws the tokens and passwords that are only ours, and
# leaves an empty file for each key that comes from elsewhere. Never overwrites. Run it as root, so that each file
# belongs to its reader alone.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
chmod 711 secrets

AGENT=10001 POSTGRES=999 PROMETHEUS=65534 GRAFANA=472

give() { # name owner: the file is readable by that user alone
    chmod 400 "secrets/$1"
    if [ "$(id -u)" -eq 0 ]; then chown "$2:$2" "secrets/$1"; fi
}

draw() { # name owner [text]
    if [ -e "secrets/$1" ]; then return; fi
    if [ "$#" -gt 2 ]; then printf '%s' "$3" >"secrets/$1"; else openssl rand -hex 32 >"secrets/$1"; fi
    give "$1" "$2"
}

draw AGENT_DERIVATION_SECRET "$AGENT"
draw AGENT_ADMIN_TOKEN "$AGENT"
draw AGENT_METRICS_TOKEN "$AGENT"
draw POSTGRES_PASSWORD 0
draw AGENT_DATABASE_PASSWORD "$POSTGRES"
draw INTAKE_DATABASE_PASSWORD 0
draw GRAFANA_PASSWORD "$GRAFANA"
draw PROMETHEUS_METRICS_TOKEN "$PROMETHEUS" "$(cat secrets/AGENT_METRICS_TOKEN)"
draw DATABASE_URL "$AGENT" "postgresql://agent:$(cat secrets/AGENT_DATABASE_PASSWORD)@postgres/agent"
draw INTAKE_DATABASE_URL "$AGENT" "postgresql://intake:$(cat secrets/INTAKE_DATABASE_PASSWORD)@postgres/agent"
draw OWNER_DATABASE_URL "$AGENT" "postgresql://owner:$(cat secrets/POSTGRES_PASSWORD)@postgres/agent"

for name in STRIPE_SECRET_KEY STRIPE_WEBHOOK_SECRET CIRCLE_W3S_API_KEY CIRCLE_W3S_ENTITY_SECRET SOLANA_RPC_URLS; do
    if [ ! -s "secrets/$name" ]; then
        : >"secrets/$name"
        give "$name" "$AGENT"
        echo "to fill: deploy/secrets/$name"
    fi
done
if [ ! -s secrets/AGENT_CIRCLE_MINT_API_KEY ]; then
    : >secrets/AGENT_CIRCLE_MINT_API_KEY
    give AGENT_CIRCLE_MINT_API_KEY "$AGENT"
    echo "to fill: deploy/secrets/AGENT_CIRCLE_MINT_API_KEY (only with AGENT_CONVERSION=circle_mint; else leave it empty)"
fi
if [ ! -s secrets/ALERT_WEBHOOK_URL ]; then
    : >secrets/ALERT_WEBHOOK_URL
    give ALERT_WEBHOOK_URL "$PROMETHEUS"
    echo "to fill: deploy/secrets/ALERT_WEBHOOK_URL (a Slack-compatible incoming webhook)"
fi
echo "Keep AGENT_DERIVATION_SECRET and CIRCLE_W3S_ENTITY_SECRET offline too, twice."
