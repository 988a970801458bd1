"""`getTransaction` answers as an Agave node writes them, for messages of any version and for runs on a real SVM."""

import base64
from dataclasses import dataclass

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, CompiledInstruction, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, VersionedMessage
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import TransactionMetadata

from chain import programs
from chain.addresses import ata
from tests.chain.world import PLATFORM, World

Json = dict[str, object]
USDC = programs.USDC_MINTS["devnet"]
CREATOR = str(Keypair.from_seed(bytes([4] * 32)).pubkey())
SPONSOR = Keypair.from_seed(bytes([5] * 32))
PLATFORM_WALLET = str(PLATFORM.pubkey())
TREASURY = ata(PLATFORM_WALLET, USDC)
CREATOR_ACCOUNT = ata(CREATOR, USDC)
BLOCKHASH = Hash.from_string("9sHcv6xwn9YkB8nxTUGKDwPwNnmqVp5oAXxU8Fdkm4J6")
SLOT = 421_337
BLOCK_TIME = 1_795_424_400
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclass(frozen=True)
class Holding:
    """A token balance as a node lists it; None is an account that is not there."""

    account: str
    owner: str
    before: int | None
    after: int | None
    mint: str = USDC
    program: str = programs.TOKEN


PAID = (Holding(TREASURY, PLATFORM_WALLET, 100_000_000, 97_650_000), Holding(CREATOR_ACCOUNT, CREATOR, 0, 2_350_000))


def transfer_instruction(amount: int = 2_350_000, *, checked: bool = True) -> Instruction:
    source, mint, target = (Pubkey.from_string(one) for one in (TREASURY, USDC, CREATOR_ACCOUNT))
    owner = AccountMeta(PLATFORM.pubkey(), is_signer=True, is_writable=False)
    ends = [AccountMeta(source, False, True), AccountMeta(target, False, True)]
    if not checked:
        return Instruction(Pubkey.from_string(programs.TOKEN), b"\x03" + amount.to_bytes(8, "little"), [*ends, owner])
    data = b"\x0c" + amount.to_bytes(8, "little") + b"\x06"
    accounts = [ends[0], AccountMeta(mint, False, False), ends[1], owner]
    return Instruction(Pubkey.from_string(programs.TOKEN), data, accounts)


def memo_instruction(text: bytes) -> Instruction:
    return Instruction(Pubkey.from_string(programs.MEMO), text, [])


def compiled(version: str, instructions: list[Instruction], payer: Keypair = PLATFORM) -> VersionedMessage:
    if version == "legacy":
        return Message.new_with_blockhash(instructions, payer.pubkey(), BLOCKHASH)
    if version == "1":
        return MessageV1.try_compile(payer.pubkey(), instructions, BLOCKHASH)
    looked_up = [Pubkey.from_string(CREATOR_ACCOUNT), Pubkey.from_string(USDC)]
    table = AddressLookupTableAccount(Pubkey.from_bytes(bytes([77] * 32)), looked_up)
    return MessageV0.try_compile(payer.pubkey(), instructions, [table] if version == "0 with table" else [], BLOCKHASH)


def answer(
    message: VersionedMessage,
    holdings: tuple[Holding, ...] = PAID,
    *,
    encoding: str = "base64",
    signers: tuple[Keypair, ...] = (PLATFORM,),
    err: object = None,
    inner: list[object] | None = None,
    lost_by_payer: int = 5000,
) -> Json:
    transaction = VersionedTransaction(message, list(signers))
    loaded = _loaded(message)
    keys = [str(key) for key in message.account_keys] + loaded["writable"] + loaded["readonly"]
    balances = [1_000_000_000] * len(keys)
    after = [balances[0] - lost_by_payer, *balances[1:]]
    return envelope(transaction, keys, loaded, balances, after, holdings, encoding, err, inner)


def envelope(
    transaction: VersionedTransaction,
    keys: list[str],
    loaded: dict[str, list[str]],
    before: list[int],
    after: list[int],
    holdings: tuple[Holding, ...],
    encoding: str,
    err: object,
    inner: list[object] | None,
) -> Json:
    version = transaction.version()
    wire = [base64.b64encode(bytes(transaction)).decode(), "base64"]
    return {
        "slot": SLOT,
        "blockTime": BLOCK_TIME,
        "version": version if isinstance(version, int) else "legacy",
        "transaction": wire if encoding == "base64" else as_json(transaction),
        "meta": {
            "err": err,
            "status": {"Ok": None} if err is None else {"Err": err},
            "fee": 5000 * len(transaction.signatures),
            "preBalances": before,
            "postBalances": after,
            "preTokenBalances": [_balance(keys, one, one.before) for one in holdings if one.before is not None],
            "postTokenBalances": [_balance(keys, one, one.after) for one in holdings if one.after is not None],
            "innerInstructions": [] if inner is None else inner,
            "logMessages": ["Program log: …"],
            "rewards": [],
            "loadedAddresses": loaded,
            "computeUnitsConsumed": 4644,
        },
    }


def as_json(transaction: VersionedTransaction) -> Json:
    message = transaction.message
    body: Json = {
        "accountKeys": [str(key) for key in message.account_keys],
        "header": {
            "numRequiredSignatures": message.header.num_required_signatures,
            "numReadonlySignedAccounts": message.header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": message.header.num_readonly_unsigned_accounts,
        },
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [instruction_json(one) for one in message.instructions],
    }
    return {"signatures": [str(one) for one in transaction.signatures], "message": body}


def instruction_json(one: CompiledInstruction) -> Json:
    accounts = list(bytes(one.accounts))
    return {
        "programIdIndex": one.program_id_index,
        "accounts": accounts,
        "data": base58(bytes(one.data)),
        "stackHeight": 1,
    }


def base58(raw: bytes) -> str:
    number, shown = int.from_bytes(raw, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        shown = _ALPHABET[rest] + shown
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + shown


def run_on_svm(world: World, signed: bytes, encoding: str = "base64") -> Json:
    """Run a transaction for real and write the answer a node would give for it."""
    transaction = VersionedTransaction.from_bytes(signed)
    keys = [str(key) for key in transaction.message.account_keys]
    before = [world.account(key) for key in keys]
    result = world.run(signed)
    after = [world.account(key) for key in keys]
    assert isinstance(result, TransactionMetadata)
    holdings = []
    for key, then, now in zip(keys, before, after, strict=True):
        rows = [(str(one.owner), bytes(one.data)) if one else ("", b"") for one in (then, now)]
        amounts = [_amount(program, data) for program, data in rows]
        if amounts != [None, None]:
            program, data = next(row for row in reversed(rows) if row[1])
            mint, owner = (str(Pubkey.from_bytes(data[at : at + 32])) for at in (0, 32))
            holdings.append(Holding(key, owner, amounts[0], amounts[1], mint, program))
    inner = [
        {"index": index, "instructions": [instruction_json(one.instruction()) for one in group]}
        for index, group in enumerate(result.inner_instructions())
        if group
    ]
    lamports = [[one.lamports if one else 0 for one in side] for side in (before, after)]
    nothing: dict[str, list[str]] = {"writable": [], "readonly": []}
    return envelope(transaction, keys, nothing, lamports[0], lamports[1], tuple(holdings), encoding, None, list(inner))


def _amount(program: str, data: bytes) -> int | None:
    if program not in programs.TOKEN_PROGRAMS or len(data) < 165 or (len(data) > 165 and data[165] != 2):
        return None
    return int.from_bytes(data[64:72], "little")


def _loaded(message: VersionedMessage) -> dict[str, list[str]]:
    if not isinstance(message, MessageV0):
        return {"writable": [], "readonly": []}
    addresses = [CREATOR_ACCOUNT, USDC]
    tables = message.address_table_lookups
    return {
        "writable": [addresses[i] for table in tables for i in table.writable_indexes],
        "readonly": [addresses[i] for table in tables for i in table.readonly_indexes],
    }


def _balance(keys: list[str], one: Holding, amount: int | None) -> Json:
    return {
        "accountIndex": keys.index(one.account),
        "mint": one.mint,
        "owner": one.owner,
        "programId": one.program,
        "uiTokenAmount": {"amount": str(amount), "decimals": 6, "uiAmount": None, "uiAmountString": str(amount)},
    }
