"""JSON-RPC of Solana over the transport port: several endpoints, one memory of how far the chain has got.

An error is never an answer: "not found" and "expired" follow only from answers, and from two endpoints where two are
configured.

`pool` is what the rest of the daemon asks; `roster` and `turns` say who is asked first, `slot_memory` how far the chain
is, `witnesses` what several must say alike, `patience` how long one that lags is waited for, `trouble` what is amiss.
`endpoint` makes one call, `node` asks one endpoint typed questions, `answers` checks their shape.
"""
