"""JSON-RPC of Solana over the transport port: several endpoints, one memory of how far the chain has got.

An error is never an answer: "not found" and "expired" follow only from answers, and from two endpoints where two are
configured.
"""
