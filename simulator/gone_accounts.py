"""Creators' USDC accounts that are frozen, or that their owners give away, for a while: whoever pays has to look."""

import random
from contextlib import suppress

from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from sandbox.solana_node.errors import NodeError
from sandbox.solana_node.node import USDC_DEVNET
from sandbox.solana_node.token_layouts import associated_token_address
from simulator.stage import Stage
from simulator.strikes import Ended

STATE_OFFSET, OWNER_OFFSET = 108, 32
"""Where a token account says whether it is frozen, and whose it is (SPL Token's layout)."""
GOOD, FROZEN = b"\1", b"\2"
SHARE_GIVEN_AWAY = 0.6
IN_HAND_SECONDS = 120
"""Who has looked at an account may still pay it for so long."""
SEED_BYTES = 32
OWNERS = (
    "SELECT COALESCE(u.circle_wallet_address, u.wallet_address) a, MAX(p.state LIKE 'pending%') waits FROM users u "
    "JOIN contents c ON c.author_id = u.id LEFT JOIN payouts p ON p.recipient_id = u.id WHERE a IS NOT NULL "
    "GROUP BY u.id ORDER BY a"
)
"""And whether something waits to be paid to them."""
ON_THEIR_WAY = (
    "SELECT (SELECT COUNT(*) FROM transfer_attempts WHERE state NOT IN ('dead', 'finalized')) "
    "+ (SELECT COUNT(*) FROM group_attempts WHERE state NOT IN ('dead', 'finalized')) "
    "+ (SELECT COUNT(*) FROM mint_attempts WHERE state NOT IN ('dead', 'finalized'))"
)
"""What was begun before may reach the account whatever has become of it: then it stays as it is."""


def spoil(stage: Stage, dice: random.Random) -> Ended:
    """One of them; at its end it is good again."""
    with stage.checker.db as db:
        rows, busy = db.rows(OWNERS), db.number(ON_THEIR_WAY)
    owners = [row["a"] for row in rows if row["waits"]] or [row["a"] for row in rows] or [""]
    owner, frozen, seed = dice.choice(owners), dice.random() >= SHARE_GIVEN_AWAY, dice.randbytes(SEED_BYTES)
    if not owner or busy or not _is_good(stage, owner):
        return Ended(lambda: None, lambda: 0)
    stranger = Keypair.from_seed(seed).pubkey()
    if frozen:
        _rewrite(stage, owner, STATE_OFFSET, FROZEN)
    else:
        _rewrite(stage, owner, OWNER_OFFSET, bytes(stranger))
        stage.records.strangers.add(str(stranger))
    stage.trace.tell("the account of", owner, "is frozen" if frozen else f"is given to {stranger}")
    in_hand = stage.clock.monotonic() + IN_HAND_SECONDS

    def hear(signature: str) -> None:
        if stage.clock.monotonic() < in_hand:
            stage.records.in_hand.add(signature)

    stage.on_outflow.append(hear)

    def undo() -> None:
        stage.on_outflow.remove(hear)
        good = (STATE_OFFSET, GOOD) if frozen else (OWNER_OFFSET, bytes(Pubkey.from_string(owner)))
        _rewrite(stage, owner, *good)

    return Ended(undo, lambda: 1)


def _is_good(stage: Stage, owner: str) -> bool:
    """Whether it is his and not frozen; one that is not there yet is made."""
    with suppress(NodeError):
        stage.node.mint_usdc(Pubkey.from_string(owner), 0)
        return True
    return False


def _rewrite(stage: Stage, owner: str, offset: int, written: bytes) -> None:
    address = associated_token_address(Pubkey.from_string(owner), USDC_DEVNET)
    found = stage.node.account(address)
    if found is not None:  # else a fork has taken it back
        data = bytearray(found.data)
        data[offset : offset + len(written)] = written
        stage.node.place_account(address, Account(found.lamports, bytes(data), found.owner))
