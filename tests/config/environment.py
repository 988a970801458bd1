"""A complete environment of the tests' own, with a canary in every secret."""

CANARY = "canary"
"""Stands in every secret below, and nowhere else."""

SECRETS = {
    "STRIPE_SECRET_KEY": "sk_test_canary_stripe_key",
    "STRIPE_WEBHOOK_SECRET": "whsec_canary_one,whsec_canary_two",
    "CIRCLE_W3S_API_KEY": "TEST_API_KEY:canary-id:canary-secret",
    "AGENT_DERIVATION_SECRET": "canary-derivation-secret-of-the-tests",
    "CLOUDINARY_URL": "cloudinary://1234:canary-cloudinary@shop",
    "DATABASE_URL": "postgresql://agent:canary-database@db.example/agent",
    "AGENT_ADMIN_TOKEN": "canary-admin-token-of-the-tests",
    "AGENT_METRICS_TOKEN": "canary-metrics-token-of-the-tests",
    "AGENT_CIRCLE_MINT_API_KEY": "SAND_API_KEY:canary-mint-id:canary-mint-secret",
    "AGENT_ALERT_WEBHOOK_URL": "https://chat.example/services/T0/B0/canary-alert-webhook-path",
    "AGENT_INVITE_CODES": "canary-invite-one,canary-invite-two",
    "SOLANA_RPC_URLS": "https://rpc.example/?api-key=canary-rpc-key,https://other.example/v2/canary-rpc-path-key",
    "SOLANA_WS_URL": "wss://rpc.example/?api-key=canary-ws-key",
}
ENTITY_SECRET = "ecd4d5e33b8e7d4a9c1b0f6a5e4d3c2b1a09f8e7d6c5b4a392817069584736fe"
"""Hexadecimal by contract, so that it is a canary of its own."""
VALID = {
    **SECRETS,
    "CIRCLE_W3S_ENTITY_SECRET": ENTITY_SECRET,
    "CIRCLE_W3S_PLATFORM_WALLET_ID": "0b0f7b8e-8a44-4c5e-9d49-111111111111",
    "PUBLIC_BASE_URL": "https://shop.example",
}
LIVE = {
    **VALID,
    "CIRCLE_W3S_PRODUCTION": "true",
    "CIRCLE_W3S_API_KEY": "LIVE_API_KEY:canary-id:canary-secret",
    "STRIPE_SECRET_KEY": "sk_live_canary_stripe_key",
}
