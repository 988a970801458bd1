"""What the platform wallet's USDC account and its SOL did: every finalized change becomes one row, exactly once.

`follower` reads both histories as they grow, `balances` holds what the wallet holds against them, `gap_search` has them
read again where a movement is missing, `backfill` where an operator asks for it.
"""
