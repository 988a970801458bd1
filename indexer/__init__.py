"""What the chain says: asked of several RPC endpoints, decoded, and stored as rows that make jobs due.

Nothing here sends money or decides about it. The other rooms learn of it through rows.
"""
