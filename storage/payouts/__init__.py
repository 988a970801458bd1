"""From what a sale owes to its creators to the finalized transfer: plans, batches, transfers, groups, debts."""
