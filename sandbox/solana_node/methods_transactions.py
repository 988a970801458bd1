"""RPC methods that send, try, and look up transactions."""

from collections.abc import Callable
from typing import Any

from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, SimulateResult

from sandbox.solana_node.account_encoding import encode_account
from sandbox.solana_node.blockhashes import MAX_PROCESSING_AGE
from sandbox.solana_node.call import Call, with_context
from sandbox.solana_node.errors import context_not_reached, invalid_params, unsupported_version
from sandbox.solana_node.execution import (
    Resolved,
    decode,
    error_json,
    inner_instructions,
    message_version,
    require_signatures,
    return_data,
)
from sandbox.solana_node.history import Landed
from sandbox.solana_node.params import Config, parse_bytes, parse_key, parse_signature
from sandbox.solana_node.slots import Commitment, block_height
from sandbox.solana_node.transaction_encoding import ENCODINGS, encode_transaction

MAX_STATUSES = 256
MAX_SIGNATURES_FOR_ADDRESS = 1000
WIRE_ENCODINGS = ("base58", "base64")


def send_transaction(call: Call) -> Any:
    config = call.params.config(1)
    resolved = _decode(call, config)
    skip = config.flag("skipPreflight")
    config.integer("maxRetries")
    bank = call.node.bank(config.commitment(key="preflightCommitment"), call.path)
    wanted = config.integer("minContextSlot")
    if wanted is not None and bank < wanted:
        raise context_not_reached(bank)
    preflight = None if skip else config.commitment(key="preflightCommitment")
    return call.node.send(resolved, preflight=preflight, path=call.path)


def simulate_transaction(call: Call) -> Any:
    config = call.params.config(1)
    verify, replace = config.flag("sigVerify"), config.flag("replaceRecentBlockhash")
    if verify and replace:
        raise invalid_params("sigVerify may not be used with replaceRecentBlockhash")
    resolved = _decode(call, config)
    slot = call.bank(config)
    if verify:
        require_signatures(resolved.transaction)
    refusal = None if replace else call.node.refusal(resolved, slot)
    value: dict[str, Any] = {"accounts": None, "innerInstructions": None, "replacementBlockhash": None}
    if replace:
        height = block_height(slot) + MAX_PROCESSING_AGE
        value["replacementBlockhash"] = {
            "blockhash": str(call.node.blockhashes.of(slot)),
            "lastValidBlockHeight": height,
        }
    if refusal is not None:
        value |= {"err": refusal, "logs": [], "returnData": None, "unitsConsumed": 0}
    else:
        result = call.node.simulate(resolved, slot)
        value |= _simulated(call, config, result, slot)
    return with_context(slot, value)


def get_signature_statuses(call: Call) -> Any:
    signatures, config = call.params.signatures(0, MAX_STATUSES), call.params.config(1)
    deep, tip = config.flag("searchTransactionHistory"), call.tip()
    return with_context(tip, [_status(call, signature, tip, deep) for signature in signatures])


def get_transaction(call: Call) -> Any:
    signature, config = parse_signature(call.params.text(0)), _transaction_config(call)
    encoding = config.choice("encoding", ENCODINGS, "json")
    landed = call.find(signature, call.node.bank(_at_least_confirmed(config), call.path))
    if landed is None:
        return None
    version = message_version(VersionedTransaction.from_bytes(landed.raw).message)
    newest = config.integer("maxSupportedTransactionVersion")
    if version is not None and (newest is None or version > newest):
        raise unsupported_version(version)
    transaction, meta = encode_transaction(landed.raw, landed.meta(), encoding)
    answer = {"slot": landed.slot, "transaction": transaction, "meta": meta, "blockTime": landed.block_time}
    if newest is not None:
        answer["version"] = "legacy" if version is None else version
    return answer


def get_signatures_for_address(call: Call) -> Any:
    address, config = call.params.key(0), call.params.config(1)
    limit = config.integer("limit")
    if limit is not None and not 1 <= limit <= MAX_SIGNATURES_FOR_ADDRESS:
        raise invalid_params(f"Invalid limit; max {MAX_SIGNATURES_FOR_ADDRESS}")
    before, until = (_signature_or_none(config.text(key)) for key in ("before", "until"))
    _at_least_confirmed(config)
    slot, tip = call.bank(config), call.tip()
    found = call.node.history.of_address(
        address, slot, before=before, until=until, limit=limit or MAX_SIGNATURES_FOR_ADDRESS
    )
    return [_listed(call, landed, tip) for landed in found if call.find(landed.signature, slot) is not None]


def _decode(call: Call, config: Config) -> Resolved:
    text = call.params.text(0)
    encoding = config.choice("encoding", WIRE_ENCODINGS, "base58")
    return decode(parse_bytes(text, encoding), call.node.accounts, encoded_size=len(text), encoding=encoding)


def _simulated(call: Call, config: Config, result: SimulateResult, slot: int) -> dict[str, Any]:
    meta = result.meta()
    failed = isinstance(result, FailedTransactionMetadata)
    value: dict[str, Any] = {
        "err": error_json(result) if isinstance(result, FailedTransactionMetadata) else None,
        "fee": meta.fee(),
        "logs": meta.logs(),
        "returnData": return_data(meta),
        "unitsConsumed": meta.compute_units_consumed(),
    }
    if config.flag("innerInstructions"):
        value["innerInstructions"] = inner_instructions(meta)
    wanted = config.values.get("accounts")
    if isinstance(wanted, dict):
        value["accounts"] = _simulated_accounts(call, Config(wanted), result, failed, slot)
    return value


def _simulated_accounts(call: Call, config: Config, result: SimulateResult, failed: bool, slot: int) -> list[Any]:
    addresses = config.values.get("addresses")
    if not isinstance(addresses, list):
        raise invalid_params("Invalid params: missing field `addresses`.")
    after = {} if isinstance(result, FailedTransactionMetadata) else dict(result.post_accounts())
    answers: list[Any] = []
    for text in addresses:
        address = parse_key(text)
        account = after.get(address) or call.node.accounts.at(address, slot)
        if failed or account is None or account.lamports == 0:
            answers.append(None)
        else:
            answers.append(encode_account(call.node, account, config, slot, default="base64"))
    return answers


def _status(call: Call, signature: str, tip: int, deep: bool) -> dict[str, Any] | None:
    landed = call.find(signature, tip)
    if landed is None or not (deep or call.node.in_status_cache(landed, tip)):
        return None
    reached = call.node.slots.status(landed.slot, tip)
    return {
        "slot": landed.slot,
        "confirmations": None if reached is Commitment.FINALIZED else tip - landed.slot,
        "err": landed.err,
        "status": {"Ok": None} if landed.err is None else {"Err": landed.err},
        "confirmationStatus": str(reached),
    }


def _listed(call: Call, landed: Landed, tip: int) -> dict[str, Any]:
    return {
        "signature": landed.signature,
        "slot": landed.slot,
        "err": landed.err,
        "memo": landed.memo,
        "blockTime": landed.block_time,
        "confirmationStatus": str(call.node.slots.status(landed.slot, tip)),
    }


def _transaction_config(call: Call) -> Config:
    """getTransaction also takes the encoding alone, as a string."""
    values = call.params.values
    if len(values) > 1 and isinstance(values[1], str):
        return Config({"encoding": values[1]})
    return call.params.config(1)


def _at_least_confirmed(config: Config) -> Commitment:
    commitment = config.commitment()
    if commitment is Commitment.PROCESSED:
        raise invalid_params("Method does not support commitment below `confirmed`")
    return commitment


def _signature_or_none(text: str | None) -> str | None:
    return None if text is None else parse_signature(text)


METHODS: dict[str, Callable[[Call], Any]] = {
    "sendTransaction": send_transaction,
    "simulateTransaction": simulate_transaction,
    "getSignatureStatuses": get_signature_statuses,
    "getTransaction": get_transaction,
    "getSignaturesForAddress": get_signatures_for_address,
}
