"""The pages of buyers and creators, on the public port: a client of their API in the same process."""
