"""Which of Circle's notifications about a transfer tell something that is not known yet."""

_BEFORE_SENDING = frozenset({"INITIATED", "PENDING_RISK_SCREENING", "CLEARED", "QUEUED"})
_ON_CHAIN = frozenset({"SENT", "CONFIRMED", "COMPLETE"})


def is_news(state: object, tx_hash: object, followed: str | None) -> bool:
    """Whether a transfer should be looked at for a notification that tells this. `followed`: the signature by which it
    is followed on the chain, None before Circle has named one.

    Circle tells of each of a transfer's six states. Up to SENT there is nothing to do but wait, and with the signature
    it names then the chain decides; anything else, a state of which nobody has heard included, is looked at.
    """
    if isinstance(tx_hash, str) and tx_hash != followed:
        return True
    if not isinstance(state, str):
        return True
    if state in _ON_CHAIN:
        return followed is None
    return state not in _BEFORE_SENDING
