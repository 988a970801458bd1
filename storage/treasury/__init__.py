"""What the platform wallet holds and why: the chain as it was followed, movements, deposits, conversions, cover."""
