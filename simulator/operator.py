"""The operators: look at what waits for a person, retry it, decide about outflows, approve, let sends go on."""

import re
from collections.abc import Iterable
from itertools import count
from typing import Any

from simulator.checker.dashboards import units
from simulator.outside import ADMIN_TOKEN
from simulator.people import Cast

ROUNDS_BEFORE_DECIDING = 2
"""An outflow that fits no payout is looked at so often before anything is said of it."""
REFERENCE = re.compile(r"purchase-(?P<payment>pi_\w+)-distribution(-(?P<number>\d+))?")
MAY_BE_PAID = """
    SELECT DISTINCT s.id, s.hold_reason FROM purchases s JOIN contents c ON c.id = s.content_id
    LEFT JOIN content_shares h ON h.content_id = c.id JOIN users u ON u.id = COALESCE(h.user_id, c.author_id)
    LEFT JOIN payouts p ON p.purchase_id = s.id AND p.recipient_id = u.id
    WHERE COALESCE(u.circle_wallet_address, u.wallet_address) = ? AND s.paid_at IS NOT NULL
    AND s.status NOT IN ('refunded', 'failed')
    AND COALESCE(p.state, 'failed') IN ('pending_conversion', 'pending_distribution', 'on_hold', 'failed')
    ORDER BY s.id
"""
"""Sales of which somebody at an address is still to be paid, or will be, and why one is held."""
GAP = """
    SELECT r.amount - (SELECT COALESCE(SUM(m.amount), 0) FROM chain_movements m WHERE m.asset = 'lamports') gap
    FROM readings r WHERE r.name = 'treasury_sol'
"""
"""By how much the wallet's SOL differs from what is booked, as `index status` and the log tell."""
PACKED = """
    SELECT s.stripe_payment_intent_id payment, p.recipient_number number FROM group_attempts a
    JOIN group_members m ON m.group_id = a.group_id AND m.released_at IS NULL
    JOIN payouts p ON p.transfer_id = m.transfer_id JOIN purchases s ON s.id = p.purchase_id WHERE a.signature = ?
"""
"""Whom a packed payout pays, as the console tells while it is sent."""
ASKED = "SELECT id, kind, subject FROM jobs WHERE state = 'parked' AND kind IN ('underpaid', 'overnetted') ORDER BY id"
"""What only a person can settle."""
BY_A_PERSON = "operator: "
"""Begins the reason of a hold that nobody but a person ends."""


class Operator:
    """One `round` is what a careful person does in an hour with the admin API. He plans and approves by a token of his
    own; where the settings ask for a second approver, there is one, and neither made the other's token."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self._seen: dict[str, int] = {}
        self._gap = 0
        self._numbers = count()
        self.held_for_good: set[int] = set()
        """Sales that may be paid already."""
        self._packed: dict[str, list[tuple[str, int]]] = {}
        """What he has noted of packed payouts while he watched them: signature → payment and recipient's number."""
        self.tokens: list[str] = []
        """His, and the second approver's."""

    @property
    def token(self) -> str:
        return self.tokens[0]

    async def arrive(self) -> None:
        """Get tokens from whoever set the daemon up, and watch from now on. Raises RuntimeError."""
        self._cast.stage.on_outflow.append(self._note)
        if not await self._come_in():
            raise RuntimeError("an operator got no token")

    async def _come_in(self) -> bool:
        """With a token each, and new names: a restore has ended those that there were."""
        came: list[str] = []
        for _ in range(self._cast.stage.settings.agent_approvers):
            wish = {"name": f"operator{next(self._numbers)}", "role": "approver"}
            made = await self._cast.ask("POST", "/admin/api/tokens", wish, ADMIN_TOKEN, admin=True)
            if made is None or made.status >= 300:
                return False
            came.append(str(made.body["secret"]))
            self._cast.stage.records.secrets.add(came[-1])
        self.tokens = came
        return True

    async def round(self) -> None:
        await self.decide_outflows()
        await self.settle_asked()
        await self._retry()
        await self._read_again()
        await self._approve()
        await self._resume()

    async def plan(self) -> None:
        """An off-cycle batch."""
        made = await self._ask("POST", "/admin/api/batches", {})
        if made is not None:
            self._cast.stage.trace.tell("operator plans", bool(made.get("batch")))

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        answer = await self._cast.stage.call(method, path, body, self.token, admin=True)
        if answer is not None and answer.status == 401 and await self._come_in():
            answer = await self._cast.stage.call(method, path, body, self.token, admin=True)
        if answer is None or answer.status >= 400:
            return None
        return dict(answer.body)

    async def _retry(self) -> None:
        work = await self._ask("GET", "/admin/api/work?state=parked")
        for row in (work or {}).get("items", []):
            if row["error_code"] in ("unknown_checkout", "unknown_purchase", "underpaid", "overnetted"):
                continue  # the sale was lost with an old backup, or nothing but a person's own payment settles it
            await self._ask("POST", f"/admin/api/work/{row['source']}/{row['id']}/retry")
            self._cast.stage.trace.tell("operator retries", row["kind"], row["subject"], row["error_code"])
        for row in self._cast.stage.checker.db.rows(
            "SELECT DISTINCT purchase_id p FROM payouts WHERE state = 'failed'"
        ):
            await self._ask("POST", f"/admin/api/retry/distribution/{row['p']}")
            self._cast.stage.trace.tell("operator pays again", row["p"])

    async def settle_asked(self) -> None:
        """What only a person can pay, he pays from a wallet of his own, and says so. A backup that was put back may not
        know that he did: then he leaves it."""
        stage = self._cast.stage
        if stage.records.restored:
            return
        for row in stage.checker.db.rows(ASKED):
            shown = await self._ask("GET", f"/admin/api/work/jobs/{row['id']}")
            if shown is None or shown["asked"] is None:
                continue
            stage.people.said_settled["paid"] += units(shown["asked"])
            told = {"amount": shown["asked"], "reason": "paid from another wallet"}
            path = f"/admin/api/work/jobs/{row['id']}/close"
            answer = await self._cast.ask("POST", path, told, self.token, admin=True)
            said = "no answer" if answer is None else answer.status
            stage.trace.tell("operator pays by hand", row["kind"], row["subject"], shown["asked"], said)
            if answer is not None and answer.status == 500:
                stage.findings.add(f"what an operator has settled was answered with a failure: {answer.body}")

    def _note(self, signature: str) -> None:
        told = self._cast.stage.checker.db.rows(PACKED, signature)
        if told:
            self._packed[signature] = [(row["payment"], row["number"]) for row in told]

    async def decide_outflows(self) -> None:
        """As the runbook of OrphanOutflow has it. What the treasurer has moved is accepted. Anything else that nothing
        explains is a payout of which the rows were lost with an old backup; where none was put back he knows of no
        reason, and leaves the sends stopped."""
        found = await self._ask("GET", "/admin/api/outflows")
        for row in (found or {}).get("items", []):
            if any(one.tx_hash == row["signature"] for one in self._cast.own_moves):
                await self._ask("POST", f"/admin/api/outflows/{row['id']}/accept", {"reason": "to our bank"})
                self._cast.stage.trace.tell("operator accepts the treasurer's", row["signature"])
                continue
            self._seen[row["signature"]] = self._seen.get(row["signature"], 0) + 1
            is_looked_at = self._seen[row["signature"]] > ROUNDS_BEFORE_DECIDING
            if is_looked_at and self._cast.stage.records.restored and not await self._adopt(row):
                await self._write_off(row)

    async def _adopt(self, row: dict[str, Any]) -> bool:
        """By the payouts that Circle's console names for it, or his own notes, if they do."""
        db = self._cast.stage.checker.db
        source, named = self._named(row["signature"])
        sql = (
            "SELECT p.id FROM payouts p JOIN purchases s ON s.id = p.purchase_id "
            "WHERE s.stripe_payment_intent_id = ? AND p.recipient_number = ?"
        )
        payouts = [one["id"] for payment, number in named for one in db.rows(sql, payment, number)]
        wish = {"reason": source, "payout_ids": payouts}
        done = await self._ask("POST", f"/admin/api/outflows/{row['id']}/adopt", wish) if payouts else None
        if done is not None:
            self._cast.stage.trace.tell("operator adopts the outflow", row["signature"], "by payouts", *payouts)
        return done is not None

    def _named(self, signature: str) -> tuple[str, list[tuple[str, int]]]:
        """How he knows, and the payments and recipients' numbers of what it paid."""
        if signature in self._packed:
            return "noted while it was sent", self._packed[signature]
        orders = self._cast.stage.records.orders()
        told = next((one.ref_id for one in orders if one.tx_hash == signature), None) or ""
        found = REFERENCE.fullmatch(told)
        return f"Circle's console: {told}", [(found["payment"], int(found["number"] or 1))] if found else []

    async def _write_off(self, row: dict[str, Any]) -> None:
        """What paid somebody, and nobody can tell for which of his sales: all that it may have paid are held for good,
        so that none of it is still to be paid, and then it is accepted."""
        stage = self._cast.stage
        owners = stage.records.outflows()[row["signature"]]
        for sale in self._still_to_be_paid(owners):
            held = await self._ask("POST", f"/admin/api/purchases/{sale}/hold", {"reason": "may be paid already"})
            if held is None:
                return
            stage.trace.tell("operator holds", sale)
        if self._still_to_be_paid(owners):
            return
        decided = {"reason": "paid sales that are held now", "not_a_payout": True}
        if await self._ask("POST", f"/admin/api/outflows/{row['id']}/accept", decided) is not None:
            self._cast.accepted.add(row["signature"])
            stage.trace.tell("operator accepts the outflow", row["signature"])

    def _still_to_be_paid(self, owners: Iterable[str]) -> list[int]:
        """Sales that no person holds; those that one holds are held for good too."""
        found = [one for owner in owners for one in self._cast.stage.checker.db.rows(MAY_BE_PAID, owner)]
        self.held_for_good.update(one["id"] for one in found)
        return [one["id"] for one in found if not (one["hold_reason"] or "").startswith(BY_A_PERSON)]

    async def _read_again(self) -> None:
        """A difference that stays is a hole in what the nodes have listed: the history is read once more."""
        before, self._gap = self._gap, self._cast.stage.checker.db.number(GAP)
        if self._gap and self._gap == before:
            await self._ask("POST", "/admin/api/index/backfill", {})
            self._cast.stage.trace.tell("operator has the history read again, for a gap of", self._gap)

    async def _approve(self) -> None:
        shown = await self._ask("GET", "/admin/api/batches")
        for row in (shown or {}).get("items", []):
            if row["status"] == "waiting_approval":
                for token in self.tokens:
                    await self._cast.stage.call(
                        "POST", f"/admin/api/batches/{row['id']}/approve", {"digest": row["digest"]}, token, admin=True
                    )
                self._cast.stage.trace.tell("operators approve batch", row["id"])
            if row["paused"]:
                await self._ask("POST", f"/admin/api/batches/{row['id']}/resume")

    async def _resume(self) -> None:
        shown = await self._ask("GET", "/admin/api/sends")
        if shown is not None and shown["paused"] is not None:
            await self._ask("POST", "/admin/api/sends/resume")
