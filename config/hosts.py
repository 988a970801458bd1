"""Where services are that have one address for tests and another for real money."""

MINT_URL = "https://api.circle.com"
MINT_SANDBOX_URL = "https://api-sandbox.circle.com"
"""Circle Mint has two hosts, unlike Circle's wallets (reference/circle.md, section 10)."""
