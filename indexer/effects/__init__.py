"""What the chain says, decoded: pure functions from raw RPC answers and account bytes to plain facts.

Nothing here waits, asks or remembers. Whatever a node answers comes out as facts or as `MalformedAnswer`.
"""
