"""Our own packed payout, decoded and held against its plan before anyone signs it.

Read by meaning first, without the builder's help, so that a mistake in the builder shows; then rebuilt and compared
byte by byte, so that nothing else can hide in it.
"""

from typing import Never

from solders.message import TransactionConfig

from chain import programs
from chain.nft_build import ComputeBudget
from chain.packed import build_packed, config_of
from chain.packed_plan import PackedPlan, TransactionFormat
from chain.transactions import PlainInstruction, message_bytes, read_transaction, v1_config
from chain.usdc_payouts import check_payouts, pays
from domain.errors import Rejected

_TRANSFER_LAMPORTS = (2).to_bytes(4, "little")
_ALLOWED = frozenset({programs.SYSTEM, programs.TOKEN, programs.MEMO, programs.COMPUTE_BUDGET})
_VERSIONS = {TransactionFormat.V0: 0, TransactionFormat.V1: 1}


def assert_packed_matches(
    wire: bytes, plan: PackedPlan, lamports_ceiling: int, budget: ComputeBudget | None = None
) -> None:
    """Refuse to have anything signed but the plan's payouts.

    `lamports_ceiling` bounds what these bytes make the platform wallet spend: the receipt's rent, the base fee and the
    priority fee of `budget`, which must be the transaction's. Raises
    `Rejected("packed_mismatch" | "packed_above_ceiling" | "malformed_transaction")`.
    """
    read = read_transaction(wire)
    if read.version != _VERSIONS[plan.format] or read.lookup_tables:
        _mismatch(f"it is not a {plan.format} transaction without lookup tables")
    if read.signers != (plan.platform_wallet,):
        _mismatch("the platform wallet is not its only signer")
    strange = {one.program for one in read.instructions} - _ALLOWED
    if strange:
        _mismatch(f"it calls {', '.join(sorted(strange))}")
    check_payouts(read.instructions, plan.payouts, "packed_mismatch")
    lamports = _receipt_lamports(read.instructions, plan)
    if plan.format is TransactionFormat.V1 and (v1_config(wire) or TransactionConfig()) != config_of(budget):
        _mismatch("its inline compute budget is not the one meant")
    spent = lamports + programs.LAMPORTS_PER_SIGNATURE + (budget.priority_fee_lamports if budget else 0)
    if spent > lamports_ceiling:
        raise Rejected(
            "packed_above_ceiling", f"the group would spend {spent} lamports, the ceiling is {lamports_ceiling}"
        )
    # What lies at the receipt's address does not matter here: with none to transfer, any rent that is there already
    # gives the same bytes.
    rent, present = (lamports, 0) if lamports else (1, 1)
    rebuilt = build_packed(
        plan, blockhash=read.blockhash, rent_lamports=rent, receipt_lamports_now=present, budget=budget
    )
    if message_bytes(rebuilt) != message_bytes(wire):
        _mismatch("the bytes differ from the plan's transaction")


def pays_at(wire: bytes, instruction: int) -> bool:
    """Whether that instruction of our own packed payout is one of its transfers: an error there is a destination's, or
    the source's. Raises `Rejected("malformed_transaction")`."""
    found = read_transaction(wire).instructions
    return 0 <= instruction < len(found) and pays(found[instruction])


def _receipt_lamports(instructions: tuple[PlainInstruction, ...], plan: PackedPlan) -> int:
    """What the receipt is given; no other movement of lamports is allowed."""
    moved = [one for one in instructions if one.program == programs.SYSTEM and one.data[:4] == _TRANSFER_LAMPORTS]
    if not moved:
        return 0
    if len(moved) != 1 or len(moved[0].data) != 12 or moved[0].accounts != (plan.platform_wallet, plan.receipt):
        _mismatch("it moves lamports elsewhere than to its receipt")
    return int.from_bytes(moved[0].data[4:], "little")


def _mismatch(why: str) -> Never:
    raise Rejected("packed_mismatch", f"refused to sign the packed payout: {why}")
