"""What we write to the chain: pure builders of transactions and the checks made on their bytes before anyone signs."""
