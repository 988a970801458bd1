"""From the raw `result` of `getTransaction` to facts.

Asked with encoding `base64` (best) or `json`, and `maxSupportedTransactionVersion: 1`. Balances before and after are
what counts, not instructions: they hold however the tokens were moved, checked or not, inner or not, batched or not.
"""

from typing import TypeVar

from indexer.effects import message
from indexer.effects.allocations import allocations_of
from indexer.effects.facts import LamportMovement, TokenMovement, TransactionFacts
from indexer.effects.message import ReadTransaction
from indexer.effects.nfts import memos_of, nfts_minted, nfts_moved
from indexer.effects.shape import address, decimal, fields, items, malformed, whole

M = TypeVar("M", TokenMovement, LamportMovement)
_SECONDS_MAX = 2**40
_DECIMALS_MAX = 255
"""One byte of the mint's account."""

_Holding = tuple[int, str | None, str, str | None]
"""Account index, owner, mint, program: an account that changed one of these in a transaction is two holdings."""


def decode_transaction(result: object, signature: str | None = None) -> TransactionFacts:
    """The facts of one landed transaction. `signature`, if given, is the one that was asked for.

    `result` null ("not found") is no transaction and must be told apart before. Raises `MalformedAnswer`, only.
    """
    answer = fields(result, "result")
    meta = fields(answer.get("meta"), "meta")
    transaction = message.read(answer, meta)
    if signature is not None and transaction.signatures[0] != signature:
        malformed("transaction", f"the transaction {signature} that was asked for")
    if "err" not in meta:
        malformed("meta.err", "there")
    err = meta["err"]
    token_movements, tokens_kept = _parted(_token_movements(meta, transaction.keys))
    lamport_movements, lamports_kept = _parted(_lamport_movements(meta, transaction))
    minted = nfts_minted(transaction.steps, token_movements) if err is None else ()
    block_time = answer.get("blockTime")
    return TransactionFacts(
        signature=transaction.signatures[0],
        slot=whole(answer.get("slot"), "slot"),
        block_time=None if block_time is None else whole(block_time, "blockTime", _SECONDS_MAX, -_SECONDS_MAX),
        err=err,
        fee_lamports=whole(meta.get("fee"), "meta.fee"),
        fee_payer=transaction.keys[0],
        signers=transaction.signers,
        account_keys=transaction.keys,
        version=transaction.version,
        memos=memos_of(transaction.steps),
        token_movements=token_movements,
        lamport_movements=lamport_movements,
        nft_mints=minted,
        tokens_kept=tokens_kept,
        lamports_kept=lamports_kept,
        allocations=allocations_of(transaction.steps) if err is None else (),
        nft_moves=nfts_moved(token_movements, minted),
    )


def _parted(named: tuple[M, ...]) -> tuple[tuple[M, ...], tuple[M, ...]]:
    """What moved, and what was left as it was."""
    return tuple(one for one in named if one.before != one.after), tuple(
        one for one in named if one.before == one.after
    )


def _lamport_movements(meta: dict[str, object], transaction: ReadTransaction) -> tuple[LamportMovement, ...]:
    before, after = (items(meta.get(side), side) for side in ("preBalances", "postBalances"))
    if not len(before) == len(after) == len(transaction.keys):
        malformed("preBalances and postBalances", "one for each account")
    return tuple(
        LamportMovement(account, whole(then, "preBalances"), whole(now, "postBalances"))
        for account, then, now in zip(transaction.keys, before, after, strict=True)
    )


def _token_movements(meta: dict[str, object], keys: tuple[str, ...]) -> tuple[TokenMovement, ...]:
    """Of every token account that is named, those that kept what they held too."""
    decimals: dict[str, int] = {}
    before = _holdings(meta.get("preTokenBalances"), "preTokenBalances", len(keys), decimals)
    after = _holdings(meta.get("postTokenBalances"), "postTokenBalances", len(keys), decimals)
    movements = []
    for holding in sorted(before.keys() | after.keys(), key=lambda one: (one[0], one not in before, str(one))):
        index, owner, mint, program = holding
        then, now = before.get(holding), after.get(holding)
        movements.append(TokenMovement(keys[index], owner, mint, program, then, now, decimals.get(mint)))
    return tuple(movements)


def _holdings(value: object, where: str, keys: int, decimals: dict[str, int]) -> dict[_Holding, int]:
    """Null is refused: a node that recorded no token balances knows nothing of what moved. The mints' decimals go into
    `decimals`."""
    holdings: dict[_Holding, int] = {}
    seen: set[int] = set()
    for entry in items(value, where):
        balance = fields(entry, where)
        index = whole(balance.get("accountIndex"), f"{where}.accountIndex", keys - 1)
        if index in seen:
            malformed(f"{where}.accountIndex", "listed once")
        seen.add(index)
        amount = fields(balance.get("uiTokenAmount"), f"{where}.uiTokenAmount")
        owner, program = (_maybe_address(balance.get(key), f"{where}.{key}") for key in ("owner", "programId"))
        mint = address(balance.get("mint"), f"{where}.mint")
        if amount.get("decimals") is not None:
            decimals[mint] = whole(amount["decimals"], f"{where}.decimals", _DECIMALS_MAX)
        holdings[(index, owner, mint, program)] = decimal(amount.get("amount"), f"{where}.amount")
    return holdings


def _maybe_address(value: object, where: str) -> str | None:
    return None if value is None or value == "" else address(value, where)
