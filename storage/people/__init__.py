"""Users and operators: accounts, wallets, tokens, sessions, and what users send out of their wallets."""
