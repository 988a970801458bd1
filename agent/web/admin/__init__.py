"""The operator's JSON API under /api/admin."""
