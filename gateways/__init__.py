"""The daemon's way to Stripe and Circle: HTTP, deadlines, rates, and their errors as those of `domain.errors`.

Three outcomes leave this room besides an answer: `Retryable` (nothing happened), `OutcomeUnknown` (it may have
happened) and `Rejected` (refused, with a code). No exception of a library travels further.
"""
