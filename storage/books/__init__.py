"""What is only ever added to: the ledger, the audit log, and the hash chains that seal them."""
