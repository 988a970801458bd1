"""The outside world on one machine: Stripe, Circle and Solana as state machines, each with a thin socket front.

One rule: nothing in here knows the daemon, and the daemon knows nothing of it. They meet over the wire formats only.
"""
