"""Money out: what is payable, batches, funding, the rails."""
