"""Every error of the payment agent, by what the caller must do about it.

    PaymentSystemError            never raised itself
    ├── Retryable                 nothing happened outside: the same step runs again later
    │   ├── NotLookedUp           what may have happened before could not be looked at: its tries are never used up
    │   ├── BlockhashNotFound     the chain does not take the transaction's blockhash (yet, or any more)
    │   └── PreflightFailed       a node ran the transaction before sending it, and it failed
    ├── OutcomeUnknown            something may have happened outside: look it up, never a new key
    │   ├── AlreadyProcessed      the chain has this very transaction: read it back
    │   └── KeySpent              the service tells no more of this key's call: only a look-up does
    ├── Rejected                  refused for good, with a code: an operator or the user must act
    │   └── AccessRefused         refused whatever is asked: the work waits until an operator has acted
    │       └── KeyRefused        our key is not taken: the service is asked for nothing until it is
    ├── Misuse                    our own mistake: an illegal transition, a key reused with other parameters
    │   └── IllegalTransition
    ├── InsufficientBalanceError  the platform wallet does not cover what is to be sent
    ├── RequestError              a user's request can't be served; carries the HTTP status
    │   └── KeyUsed
    └── LedgerImbalance           money does not add up: stop the daemon

Gateways translate what their libraries raise into these at the border; nothing else travels further.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class PaymentSystemError(Exception):
    """Base of all errors below. `str(error)` is one line for the operator and never holds a secret."""


class Retryable(PaymentSystemError):
    """The call did not take effect. `retry_after_seconds` is what the other side asked for, if it did."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class OutcomeUnknown(PaymentSystemError):
    """The call may have taken effect. The step that made it runs again with the same key, or looks the effect up."""


class NotLookedUp(Retryable):
    """A look at something that may have taken effect has failed. It is repeated for as long as that takes."""


@contextmanager
def looking_up(may_have_happened: bool) -> Iterator[None]:
    """What can't be read of something that may have taken effect leaves its outcome unknown, however often."""
    try:
        yield
    except Retryable as error:
        if not may_have_happened:
            raise
        raise NotLookedUp(str(error), error.retry_after_seconds) from error


class BlockhashNotFound(Retryable):
    """No node asked knows the blockhash: too old or too new. Proof of death is the signature tracker's, not this."""


class PreflightFailed(Retryable):
    """A node refused to send a transaction that would fail now. `err` is the node's JSON of the transaction error
    (`{"InstructionError": [2, {"Custom": 0}]}`), `logs` its program logs. Says nothing of an earlier send."""

    def __init__(self, message: str, err: object, logs: tuple[str, ...]) -> None:
        super().__init__(message)
        self.err, self.logs = err, logs


class AlreadyProcessed(OutcomeUnknown):
    """The transaction is on chain by the node's newest slot; whether it succeeded and stays, the tracker tells."""


class KeySpent(OutcomeUnknown):
    """The key was used, and whoever uses it again hears of a failure, or of the use alone, for as long as the service
    remembers it. Repeating the call teaches nothing: what it may have made is looked up."""


class Rejected(PaymentSystemError):
    """Refused for good. `code` is stable and short (`invalid_address`, `155219`)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AccessRefused(Rejected):
    """Refused whatever is asked: the key, the entity or the platform wallet is stopped. Nothing was done, and nothing
    of the work is at fault: it waits until an operator has acted."""


class KeyRefused(AccessRefused):
    """The service does not take our key, or is not asked because it did not take it a moment ago. Whoever keeps the
    key says so once, for all the work that waits."""


class Misuse(PaymentSystemError):
    """The program contradicts itself. The step is parked; nothing is guessed."""


class IllegalTransition(Misuse):
    """A state was asked to move where its table of transitions has no edge."""

    def __init__(self, machine: str, before: str, after: str) -> None:
        super().__init__(f"{machine}: no transition from '{before}' to '{after}'")
        self.machine, self.before, self.after = machine, before, after


class InsufficientBalanceError(PaymentSystemError):
    """The platform wallet's free USDC does not cover a batch. Amounts in USDC base units."""

    def __init__(self, need: int, have: int) -> None:
        self.need, self.have, self.short = need, have, max(0, need - have)
        super().__init__(f"need {need}, have {have}, short {self.short} USDC base units")


class RequestError(PaymentSystemError):
    """A request that can't be served. `status` is the HTTP status, `code` the stable code in the error body, `field`
    the part of the request that is to blame."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.field = status, code, field


class KeyUsed(RequestError):
    """A sender's own key stands for another wish of his already."""

    def __init__(self) -> None:
        super().__init__(
            409,
            "idempotency_key_used",
            "something else was asked for with this idempotency_key: load the page again, or take a new key",
            "idempotency_key",
        )


class LedgerImbalance(PaymentSystemError):
    """Postings of one entry do not sum to zero in an asset. Nothing is written."""
