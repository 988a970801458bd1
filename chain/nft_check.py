"""Our own mint transaction, decoded and held against its plan before anyone signs it.

Read by meaning first, without the builder's help, so that a mistake in the builder shows; then rebuilt and compared
byte by byte, so that nothing else can hide in it.
"""

import struct
from typing import Never

from chain import programs
from chain.addresses import parse_address
from chain.nft_build import ComputeBudget, build_mint
from chain.nft_plan import NftPlan
from chain.transactions import PlainInstruction, PlainTransaction, message_bytes, read_transaction
from chain.usdc_payouts import UsdcPayouts, check_payouts, pays
from domain.errors import Rejected

_INSTRUCTIONS = 7
"""Of the mint itself, behind budget and rent."""


def assert_mint_matches(wire: bytes, plan: NftPlan, lamports_ceiling: int, payouts: UsdcPayouts | None = None) -> None:
    """Refuse to have anything signed but the plan's mint and the payouts that go with it (None: none at all).

    `lamports_ceiling` bounds what these bytes make the platform wallet spend: the transfer to the mint address, the
    base fee and the priority fee. The buyer's token account rent is set by the chain and not in the bytes.
    Raises `Rejected("mint_mismatch" | "mint_above_ceiling" | "malformed_transaction")`.
    """
    read = read_transaction(wire)
    _check_frame(read, plan)
    budget, rest = _split_budget(list(read.instructions))
    lamports, rest = _split_transfer(rest, plan)
    _check_mint_instructions(rest[:_INSTRUCTIONS], plan)
    _check_rest(rest[_INSTRUCTIONS:], payouts)
    spent = lamports + programs.LAMPORTS_PER_SIGNATURE + (budget.priority_fee_lamports if budget else 0)
    if spent > lamports_ceiling:
        raise Rejected(
            "mint_above_ceiling", f"the mint would spend {spent} lamports, the ceiling is {lamports_ceiling}"
        )
    # What the chain holds at the address does not matter here: with 0 present, `lamports` is the whole transfer; with
    # none to transfer, any rent that is there already gives the same bytes.
    rent, present = (lamports, 0) if lamports else (1, 1)
    rebuilt = build_mint(
        plan,
        blockhash=read.blockhash,
        rent_lamports=rent,
        mint_lamports_now=present,
        budget=budget,
        payouts=payouts,
    )
    if message_bytes(rebuilt) != message_bytes(wire):
        _mismatch("the bytes differ from the plan's transaction")


def _check_frame(read: PlainTransaction, plan: NftPlan) -> None:
    if read.version != 0 or read.lookup_tables:
        _mismatch("it is not a v0 transaction without lookup tables")
    if read.signers != (plan.platform_wallet,):
        _mismatch("the platform wallet is not its only signer")


def _split_budget(instructions: list[PlainInstruction]) -> tuple[ComputeBudget | None, list[PlainInstruction]]:
    budget = [one for one in instructions if one.program == programs.COMPUTE_BUDGET]
    if not budget:
        return None, instructions
    limit, price = (budget[0].data, budget[1].data) if len(budget) == 2 else (b"", b"")
    if instructions[:2] != budget or len(limit) != 5 or limit[0] != 2 or len(price) != 9 or price[0] != 3:
        _mismatch("its compute budget is not one limit and one price at the front")
    return ComputeBudget(*struct.unpack("<I", limit[1:]), *struct.unpack("<Q", price[1:])), instructions[2:]


def _split_transfer(instructions: list[PlainInstruction], plan: NftPlan) -> tuple[int, list[PlainInstruction]]:
    first = instructions[0] if instructions else None
    if first is None or first.program != programs.SYSTEM or first.data[:4] != struct.pack("<I", 2):
        return 0, instructions
    if len(first.data) != 12 or first.accounts != (plan.platform_wallet, plan.mint_address):
        _mismatch("it moves lamports elsewhere than to the mint address")
    return int.from_bytes(first.data[4:], "little"), instructions[1:]


def _check_mint_instructions(instructions: list[PlainInstruction], plan: NftPlan) -> None:
    wallet, mint, account = plan.platform_wallet, plan.mint_address, plan.buyer_account
    steps = (
        (programs.SYSTEM, (mint, wallet)),
        (programs.TOKEN_2022, (mint,)),
        (programs.TOKEN_2022, (mint,)),
        (programs.TOKEN_2022, (mint, wallet, mint, wallet)),
        (programs.ASSOCIATED_TOKEN, (wallet, account, plan.buyer, mint, programs.SYSTEM, programs.TOKEN_2022)),
        (programs.TOKEN_2022, (mint, account, wallet)),
        (programs.TOKEN_2022, (mint, wallet)),
    )
    if tuple((one.program, one.accounts) for one in instructions) != steps:
        _mismatch("its programs or accounts are not those of the plan")
    allocate, pointer, initialise, metadata, create, mint_to, lock = (one.data for one in instructions)
    authority, program = bytes(parse_address(wallet)), bytes(parse_address(programs.TOKEN_2022))
    seed = len(plan.seed).to_bytes(8, "little") + plan.seed.encode()
    if allocate != b"\x09\x00\x00\x00" + authority + seed + programs.NFT_MINT_SIZE.to_bytes(8, "little") + program:
        _mismatch("the mint address is not allocated with the plan's seed")
    if (
        pointer != b"\x27\x00" + authority + bytes(parse_address(mint))
        or initialise != b"\x14\x00" + authority + b"\x00"
    ):
        _mismatch("the mint is not set up with a metadata pointer and 0 decimals")
    texts = [field for text in (plan.name, plan.symbol, plan.uri) for field in (_length(text), text.encode())]
    if metadata != programs.METADATA_INITIALIZE + b"".join(texts):
        _mismatch("its name, symbol or uri are not those of the plan")
    if (create, mint_to, lock) != (b"\x01", b"\x07\x01" + bytes(7), b"\x06\x00\x00"):
        _mismatch("it does not mint exactly one and lock the supply")


def _check_rest(instructions: list[PlainInstruction], payouts: UsdcPayouts | None) -> None:
    """Behind the mint nothing but the plan's payouts."""
    if payouts is None and instructions:
        _mismatch("it does more than mint")
    if payouts is not None:
        if not all(pays(one) for one in instructions):
            _mismatch("it does more than mint and pay")
        check_payouts(instructions, payouts, "mint_mismatch")


def _length(text: str) -> bytes:
    return len(text.encode()).to_bytes(4, "little")


def _mismatch(why: str) -> Never:
    raise Rejected("mint_mismatch", f"refused to sign the mint: {why}")
