"""The database's side of the reconciliation: copies of Stripe's and Circle's lists, each sale's facts, reports."""
