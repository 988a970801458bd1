"""Faults that last for a while: rules and switches of the services, turned on at a time and off at another."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from sandbox.circle_service.solana import COMPUTE_UNITS_DEFAULT, Fee
from sandbox.circle_service.transactions import State
from sandbox.faults import Fault, Faults, Rule
from sandbox.solana_node.endpoints import Endpoint
from sandbox.solana_node.history import Landed
from simulator import gone_accounts, oddities, pruning, shortages
from simulator.line import Fray
from simulator.outside import SECOND_ENDPOINT, START_LAMPORTS
from simulator.scenario import FaultKind
from simulator.stage import Stage
from simulator.strikes import READS, Answers, Ended, Tally

FOR_EVER = 1 << 40
STRIPE, CIRCLE, CHAIN, MINT = "stripe", "circle", "chain", "mint"
TARGETS = (
    (STRIPE, ""),
    (STRIPE, "/v1/checkout"),
    (STRIPE, "/v1/events"),
    (STRIPE, "/v1/charges"),
    (STRIPE, "/v1/refunds"),
    (CIRCLE, ""),
    (CIRCLE, "/transactions"),
    (CIRCLE, "/transfer"),
    (CIRCLE, "/sign"),
    (CHAIN, ""),
    (CHAIN, "sendTransaction"),
    (CHAIN, "getTransaction"),
    (CHAIN, "getSignature"),
)
"""Of which requests a rule takes some: all of a service, or those of one kind."""
CONVERTING = ((MINT, ""), (MINT, "/transfers"), (MINT, "POST /v1/businessAccount/transfers"))
"""Where the daemons convert at Circle Mint."""
LATE_MS = (1_000, 9_000, 29_000, 31_000, 90_000)
"""Below and above every deadline of the daemon's calls."""
OVERTAKEN_MS = 3_000
"""Longer than a transfer takes from state to state, with room for a block."""
FEES_MS = (60_000, 3_600_000, 100_000_000)
LAMPORTS_LEFT = (1_000_000, 3_000_000, 8_000_000)
"""Less than one rent, a few of them: neither is enough for what a week costs."""
SHARES = (0.02, 0.1, 0.4, 1.0)
SHARE_OF_ODD_WAITS = 0.4
SHARE_MASKED = 0.5
"""Of the redirects, so many come in place of an answer that would have told of what was done."""
MONEY = ((STRIPE, "/v1/refunds"), (STRIPE, "/v1/checkout"), (CIRCLE, "/transfer"), (CIRCLE, "/sign"), (CHAIN, "send"))
BREAKS = (0.02, 0.1, 0.3)
"""Shares of the commits."""


@dataclass(slots=True)
class Storms:
    """`begin` one of a kind; what it answers is undone at its end."""

    stage: Stage
    dice: random.Random
    own_dice: Callable[[FaultKind], random.Random]
    """Of one kind alone."""
    prices: list[int] = field(default_factory=list)
    """What blocks ask, by each storm of full ones that is on."""

    def begin(self, kind: FaultKind) -> Ended | None:
        """None when the kind is none that lasts."""
        rules: dict[FaultKind, Callable[[], Rule]] = {
            FaultKind.LOST_REQUESTS: lambda: self._rule(Fault.LOSE_REQUEST),
            FaultKind.LOST_ANSWERS: lambda: self._rule(Fault.LOSE_ANSWER),
            FaultKind.LATE_ANSWERS: lambda: self._rule(Fault.LATE, delay_ms=self.dice.choice(LATE_MS)),
            FaultKind.RATE_LIMITS: lambda: self._oddly(kind, self._rule(Fault.STATUS, status=429)),
            FaultKind.SERVER_ERRORS: lambda: self._oddly(
                kind, self._rule(Fault.STATUS, status=self.dice.choice((500, 502, 503)))
            ),
            FaultKind.HTML_BODIES: lambda: self._rule(Fault.HTML),
            FaultKind.CUT_BODIES: lambda: self._rule(Fault.CUT_BODY),
        }
        if kind in rules:
            return self._add(rules[kind](), self.dice.choice(self._targets()))
        others: dict[FaultKind, Callable[[], Ended]] = {
            FaultKind.LOST_EVENTS: self._lose_events,
            FaultKind.DUPLICATE_EVENTS: self._double_events,
            FaultKind.REORDERED_EVENTS: self._shuffle_events,
            FaultKind.RPC_LAG: self._lag,
            FaultKind.RPC_LIES: self._lie,
            FaultKind.RPC_FORKS: self._follow_a_dead_branch,
            FaultKind.LATE_LANDING: self._land_late,
            FaultKind.CIRCLE_DISORDER: self._disorder,
            FaultKind.LATE_FEES: self._delay_fees,
            FaultKind.NO_SOL: self._spend_sol,
            FaultKind.REDIRECTS: self._redirect,
            FaultKind.LOST_COMMITS: self._break_commits,
            FaultKind.FULL_BLOCKS: lambda: shortages.fill_blocks(self.stage, self.own_dice(kind), self.prices),
            FaultKind.PENDING_REFUNDS: lambda: shortages.lack_refunds(self.stage, self.own_dice(kind)),
            FaultKind.GONE_ACCOUNTS: lambda: gone_accounts.spoil(self.stage, self.own_dice(kind)),
            FaultKind.PRUNED_NODES: lambda: pruning.prune(self.stage, self.own_dice(kind)),
        }
        return others[kind]() if kind in others else None

    # --- rules ------------------------------------------------------------------------------------------------

    def _rule(self, fault: Fault, status: int = 500, delay_ms: int = 0) -> Rule:
        headers = {"retry-after": str(self.dice.choice((1, 30, 600)))} if self.dice.random() < 0.5 else {}
        return Rule("", fault, FOR_EVER, 0, self.dice.choice(SHARES), delay_ms, status, b"{}", headers)

    def _oddly(self, kind: FaultKind, rule: Rule) -> Rule:
        dice = self.own_dice(kind)
        if dice.random() < SHARE_OF_ODD_WAITS:
            rule.headers = oddities.odd_wait(dice, self.stage.clock.now_ms())
        return rule

    def _redirect(self) -> Ended:
        dice = self.own_dice(FaultKind.REDIRECTS)
        fault = Fault.MASKED if dice.random() < SHARE_MASKED else Fault.STATUS
        status, body = dice.choice(oddities.REDIRECTS), dice.choice((b"", b"{}", b"<html>moved</html>"))
        rule = Rule("", fault, FOR_EVER, 0, dice.choice(SHARES), 0, status, body, oddities.redirect(dice))
        return self._add(rule, dice.choice(dice.choice((MONEY, self._targets()))))

    def _targets(self) -> tuple[tuple[str, str], ...]:
        return (*TARGETS, *CONVERTING) if self.stage.settings.converts else TARGETS

    def _add(self, rule: Rule, target: tuple[str, str]) -> Ended:
        stage = self.stage
        service, rule.match = target
        by_service: dict[str, Faults] = {
            STRIPE: stage.stripe.faults,
            CIRCLE: stage.circle.faults,
            CHAIN: stage.node.faults,
            MINT: stage.outside.mint.faults,
        }
        faults = by_service[service]
        faults.add(rule)
        met = asyncio.Event()
        rule.strikes = met.set
        return Ended(lambda: faults.rules.remove(rule), lambda: FOR_EVER - rule.times, met)

    # --- the database -----------------------------------------------------------------------------------------

    def _break_commits(self) -> Ended:
        frays, dice, met = self.stage.line.frays, self.own_dice(FaultKind.LOST_COMMITS), asyncio.Event()
        fray = Fray(dice, dice.choice(BREAKS), met.set)
        frays.append(fray)
        return Ended(lambda: frays.remove(fray), lambda: fray.struck, met)

    # --- events -----------------------------------------------------------------------------------------------

    def _lose_events(self) -> Ended:
        controls, circle, tally = self.stage.stripe.controls, self.stage.circle.custody.switches, Tally()
        deaf = self._hear_deliveries(tally)
        share = self.dice.choice((0.3, 1.0))
        if self.dice.random() < 0.3:
            controls.disturb_delivery(bad_signatures=share)
        else:
            controls.disturb_delivery(drop=share, tries_max=self.dice.choice((1, 2, None)))
        circle.drop_notifications += self.dice.randint(0, 5)
        circle.garble_signatures += self.dice.randint(0, 3)

        def undo() -> None:
            controls.disturb_delivery(drop=0.0, tries_max=None, bad_signatures=0.0)
            circle.drop_notifications = circle.garble_signatures = 0
            deaf()

        return Ended(undo, lambda: tally.count, tally.met)

    def _double_events(self) -> Ended:
        controls, circle, tally = self.stage.stripe.controls, self.stage.circle.custody.switches, Tally()
        deaf = self._hear_deliveries(tally)
        controls.disturb_delivery(duplicates=self.dice.choice((0.3, 1.0)))
        circle.duplicate_notifications += self.dice.randint(1, 20)

        def undo() -> None:
            controls.disturb_delivery(duplicates=0.0)
            circle.duplicate_notifications = 0
            deaf()

        return Ended(undo, lambda: tally.count, tally.met)

    def _hear_deliveries(self, tally: Tally) -> Callable[[], None]:
        """Of both services' webhooks; the answer ends it."""
        stripe, circle = self.stage.stripe.controls.on_disturbed, self.stage.circle.custody.on_disturbed
        ends = tally.of(stripe), tally.of(circle)

        def end() -> None:
            for one in ends:
                one()

        return end

    def _shuffle_events(self) -> Ended:
        controls, tally = self.stage.stripe.controls, Tally()
        deaf = tally.of(controls.on_disturbed)
        late = {"payment_intent.succeeded": 0, "checkout.session.completed": 0}
        late[self.dice.choice(sorted(late))] = self.dice.choice((0, 2_000, 3_600_000))
        controls.disturb_delivery(
            shuffle_ms=self.dice.choice((2_000, 60_000, 7_200_000)),
            created_step_seconds=self.dice.choice((1, 60)),
            delay_ms=late,
        )

        def undo() -> None:
            controls.disturb_delivery(shuffle_ms=0, created_step_seconds=1, delay_ms={})
            deaf()

        return Ended(undo, lambda: tally.count, tally.met)

    def _delay_fees(self) -> Ended:
        controls, payments = self.stage.stripe.controls, self.stage.records.payments
        before = len(payments())
        controls.delay_fees(self.dice.choice(FEES_MS))
        return Ended(controls.delay_fees, lambda: len(payments()) - before)

    # --- the chain --------------------------------------------------------------------------------------------

    def _endpoint(self) -> str:
        return self.dice.choice(("/", SECOND_ENDPOINT))

    def _lag(self) -> Ended:
        endpoint = self.stage.node.endpoints[self._endpoint()]
        answers = self._answers_of(endpoint)
        endpoint.lag_slots = self.dice.choice((1, 5, 31, 150))
        endpoint.unhealthy = self.dice.random() < 0.2
        endpoint.keeps_history = self.dice.random() < 0.7
        self.stage.node.purge_status_cache()

        def undo() -> None:
            endpoint.lag_slots, endpoint.unhealthy, endpoint.keeps_history = 0, False, True
            answers.end()

        return Ended(undo, lambda: answers.tally.count, answers.tally.met)

    def _answers_of(self, endpoint: Endpoint, methods: frozenset[str] = READS) -> Answers:
        """Those that are others than they should be, counted from now on."""
        found = Answers(self.stage.node, endpoint, methods)
        found.begin()
        return found

    def _lie(self) -> Ended:
        """One endpoint denies what it knows, or answers nonsense; the other one is honest."""
        node, path = self.stage.node, self._endpoint()
        endpoint = node.endpoints[path]
        if self.dice.random() < 0.5:
            nonsense: object = self.dice.choice(
                (None, [], {"value": None}, "soon", {"context": {"slot": 1}, "value": [None]})
            )
            method = self.dice.choice(
                ("getSignatureStatuses", "getTransaction", "getBlockHeight", "getBalance", "getSlot")
            )
            endpoint.lies[method] = lambda params: nonsense
            answers = self._answers_of(endpoint, frozenset({method}))

            def be_honest() -> None:
                endpoint.lies.clear()
                answers.end()

            return Ended(be_honest, lambda: answers.tally.count, answers.tally.met)
        denials = self._answers_of(endpoint)
        deny: Callable[[object], None] = lambda landed: endpoint.hides.add(landed.signature)  # type: ignore[attr-defined]  # noqa: E731
        node.on_transaction.append(deny)

        def undo() -> None:
            node.on_transaction.remove(deny)
            endpoint.hides.clear()
            denials.end()

        return Ended(undo, lambda: denials.tally.count, denials.tally.met)

    def _follow_a_dead_branch(self) -> Ended:
        """One endpoint goes on along a branch without what lands meanwhile, at the same heights as the others; it is
        back on the living one before anything of that is finalized elsewhere."""
        node, path = self.stage.node, self._endpoint()
        endpoint, slots = node.endpoints[path], node.slots
        missing: list[str] = []
        answers = self._answers_of(endpoint)
        seconds = self.dice.choice((4, 12, 24)) * slots.slot_ms / 1_000

        def miss(landed: Landed) -> None:
            endpoint.hides.add(landed.signature)
            missing.append(landed.signature)
            asyncio.get_running_loop().call_later(seconds, endpoint.hides.discard, landed.signature)

        node.on_transaction.append(miss)

        def undo() -> None:
            node.on_transaction.remove(miss)
            endpoint.hides.difference_update(missing)
            answers.end()

        return Ended(undo, lambda: answers.tally.count, answers.tally.met)

    def _land_late(self) -> Ended:
        switches, tally = self.stage.node.switches, Tally()
        deaf = tally.of(self.stage.node.on_disturbed)
        if self.dice.random() < 0.5:
            switches.land_after_slots = self.dice.choice((3, 40, 149, 151, 400))
        else:
            switches.drop_sends += self.dice.randint(1, 8)

        def undo() -> None:
            switches.land_after_slots = switches.drop_sends = 0
            deaf()

        return Ended(undo, lambda: tally.count, tally.met)

    def _spend_sol(self) -> Ended:
        """Somebody moves nearly all SOL away by hand in Circle's console; later there is more than ever again."""
        stage, custody = self.stage, self.stage.circle.custody
        wallet = custody.wallets.at(stage.platform.address)
        assert wallet is not None
        native = custody.tokens.native
        fee = Fee(COMPUTE_UNITS_DEFAULT, 0)
        spent = custody.tokens.units_of(wallet, native) - fee.lamports - self.dice.choice(LAMPORTS_LEFT)
        if spent > 0:
            bank = str(Keypair.from_seed(self.dice.randbytes(32)).pubkey())
            custody.transfers.start(wallet, native, spent, bank, fee, "LOW", None)
        return Ended(lambda: give_sol(stage), lambda: spent > 0)

    # --- Circle -----------------------------------------------------------------------------------------------

    def _disorder(self) -> Ended:
        custody, tally = self.stage.circle.custody, Tally()
        deaf = tally.of(custody.on_disturbed)
        refused = self._refused()
        custody.switches.shuffle_notifications, custody.switches.hold_notifications_ms = True, OVERTAKEN_MS
        denied = set(self.dice.sample(self._addresses(), k=min(1, len(self._addresses()))))
        if self.dice.random() < 0.3:
            custody.transfers.denied_addresses |= denied
        custody.switches.insufficient_async = self.dice.random() < 0.5
        custody.switches.turned_back_views += self.dice.choice((0, 3, 20))
        calm = self._refuse_conversions() if self.stage.settings.converts else lambda: None

        def undo() -> None:
            calm()
            custody.switches.shuffle_notifications = custody.switches.insufficient_async = False
            custody.switches.turned_back_views = custody.switches.hold_notifications_ms = 0
            custody.transfers.denied_addresses -= denied
            deaf()

        return Ended(undo, lambda: tally.count + self._refused() - refused, tally.met)

    def _refused(self) -> int:
        """Orders that Circle has denied or given up."""
        return sum(one.state in (State.DENIED, State.FAILED) for one in self.stage.records.orders())

    def _refuse_conversions(self) -> Callable[[], None]:
        """Circle Mint lets transfers wait, or its screening refuses one; the platform's address awaits its approval in
        the console again."""
        books, dice = self.stage.outside.mint.books, self.dice
        switches = books.switches
        switches.deny_transfers, switches.hold_transfers = dice.choice((0, 0, 1, 2)), dice.random() < 0.3
        switches.replay_returns_original = dice.random() < 0.5
        recipient = books.recipients[0]
        if dice.random() < 0.2:
            recipient.status = "pending_verification"

        def undo() -> None:
            switches.deny_transfers, switches.hold_transfers = 0, False
            recipient.status = "active"

        return undo

    def _addresses(self) -> list[str]:
        sql = "SELECT circle_wallet_address a FROM users WHERE circle_wallet_address IS NOT NULL ORDER BY id"
        return [row["a"] for row in self.stage.checker.db.rows(sql)]


def give_sol(stage: Stage) -> None:
    """More than the platform wallet ever needs."""
    stage.node.airdrop(Pubkey.from_string(stage.platform.address), START_LAMPORTS)


def _calm(_: object) -> None:
    """The answer of a switch says nothing new."""
