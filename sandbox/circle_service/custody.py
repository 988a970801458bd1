"""Everything Circle holds for one developer, put together; the API modules are functions over it."""

import random

from sandbox.circle_service.calls import Call, Reply
from sandbox.circle_service.chain import Chain
from sandbox.circle_service.entity import Entity
from sandbox.circle_service.idempotency import Replays, View
from sandbox.circle_service.inbound import Inbound
from sandbox.circle_service.notifications import Notifier
from sandbox.circle_service.settings import Pace, Switches
from sandbox.circle_service.tokens import TokenBook
from sandbox.circle_service.transactions import INBOUND, Transaction, TransactionBook
from sandbox.circle_service.transfers import Transfers
from sandbox.circle_service.users import Challenge, ChallengeBook, EndUser, UserBook
from sandbox.circle_service.wallets import WalletBook
from sandbox.service import Clock

CHALLENGE_NOTIFICATIONS = {
    "INITIALIZE": "initialize",
    "CREATE_WALLET": "createWallet",
    "CREATE_TRANSACTION": "createTransaction",
    "SET_PIN": "setPin",
    "CHANGE_PIN": "changePin",
    "RESTORE_PIN": "restorePin",
}
"""Signing challenges have no notification type."""


class Custody:
    """The books of one developer's account and the machinery that moves them on."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        chain: Chain,
        blockchain: str,
        entity: Entity,
        pace: Pace,
        switches: Switches,
    ) -> None:
        self.clock = clock
        self.chain = chain
        self.blockchain = blockchain
        self.entity = entity
        self.switches = switches
        self.replays = Replays()
        self.wallets = WalletBook(clock, _child(rng))
        self.tokens = TokenBook(chain, blockchain)
        self.notifier = Notifier(clock, _child(rng), switches)
        self.on_disturbed = self.notifier.on_disturbed
        """Called besides for each answer that tells of a state which is over."""
        self.transactions = TransactionBook(clock, self._transaction_changed)
        self.transfers = Transfers(clock, _child(rng), chain, self.tokens, self.transactions, pace)
        self.inbound = Inbound(clock, _child(rng), chain, self.tokens, self.wallets, self.transactions, pace.polling)
        self.users = UserBook(clock, _child(rng))
        self.challenges = ChallengeBook(clock, _child(rng), switches, self._challenge_changed)

    def told_what_is_over(self) -> None:
        """An answer was what a replica of Circle's that lags behind tells."""
        for hear in self.on_disturbed:
            hear()

    def tick(self, now_ms: int) -> None:
        self.challenges.tick(now_ms)
        self.transfers.tick(now_ms)
        self.inbound.tick(now_ms)

    def next_due_ms(self) -> int | None:
        parts = (self.challenges, self.transfers, self.inbound, self.notifier)
        return min((due for part in parts if (due := part.next_due_ms()) is not None), default=None)

    def user(self, call: Call) -> EndUser:
        """Whom the X-User-Token speaks for. Raises 401 or 403."""
        return self.users.of_token(call.user_token)

    def user_id(self, call: Call) -> str | None:
        """The user a read is narrowed to; None when the call carries no user token."""
        return None if call.user_token is None else self.user(call).id

    def read_key(self, call: Call) -> str | None:
        return call.fields.uuid("idempotencyKey", required=True, version=4 if self.switches.strict_uuid4 else None)

    def read_ciphertext(self, call: Call) -> str | None:
        return call.fields.text("entitySecretCiphertext", required=True)

    def replay(self, call: Call, user: EndUser | None = None) -> Reply | None:
        """The answer to a repeated request: 200 and the resource as it is now."""
        view = self.replays.find(
            _scope(call, user),
            str(call.body["idempotencyKey"]),
            call.body,
            original_on_conflict=self.switches.replay_returns_original,
        )
        return None if view is None else Reply(200, view())

    def created(self, call: Call, view: View, user: EndUser | None = None) -> Reply:
        """Remember what this request made and answer 201."""
        self.replays.keep(_scope(call, user), str(call.body["idempotencyKey"]), call.body, view)
        return Reply(201, view())

    def _transaction_changed(self, transaction: Transaction) -> None:
        kind = "transactions.inbound" if transaction.kind == INBOUND else "transactions.outbound"
        self.notifier.notify(kind, transaction.view())

    def _challenge_changed(self, challenge: Challenge) -> None:
        name = CHALLENGE_NOTIFICATIONS.get(challenge.kind)
        if name is not None:
            self.notifier.notify(f"challenges.{name}", challenge.notification())


def _child(rng: random.Random) -> random.Random:
    """A stream of its own for each book, so that one's use does not move the others'."""
    return random.Random(rng.getrandbits(64))


def _scope(call: Call, user: EndUser | None) -> str:
    return f"{call.method} {call.route} {call.params} {'' if user is None else user.id}"
