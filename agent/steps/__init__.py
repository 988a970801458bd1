"""Steps of a purchase: events in, fee, wallet, mint, refund. Each moves one row one step (see domain/flow.py)."""
