"""RPC methods about the cluster, slots, blockhashes and fees."""

import base64
import binascii
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from solders.message import from_bytes_versioned

from sandbox.solana_node.blockhashes import MAX_PROCESSING_AGE
from sandbox.solana_node.call import CORE_VERSION, Call, with_context
from sandbox.solana_node.errors import BLOCK_CLEANED_UP, BLOCK_NOT_AVAILABLE, NODE_UNHEALTHY, NodeError, invalid_params
from sandbox.solana_node.params import parse_hash
from sandbox.solana_node.slots import FIRST_SLOT, SLOTS_PER_EPOCH, Commitment, block_height

if TYPE_CHECKING:
    from sandbox.solana_node.node import SolanaNode

HEALTHY_DISTANCE_SLOTS = 128
"""agave's DELINQUENT_VALIDATOR_SLOT_DISTANCE: further behind, a node calls itself unhealthy."""
FEATURE_SET = 3_294_202_862
PRIORITIZATION_SLOTS = 150
MAX_PRIORITIZATION_ACCOUNTS = 128


def check_health(node: "SolanaNode", path: str) -> None:
    """Raises -32005 when the endpoint calls itself unhealthy."""
    endpoint = node.endpoint(path)
    if endpoint.lag_slots > HEALTHY_DISTANCE_SLOTS:
        behind = endpoint.lag_slots
        raise NodeError(NODE_UNHEALTHY, f"Node is behind by {behind} slots", {"numSlotsBehind": behind})
    if endpoint.unhealthy:
        raise NodeError(NODE_UNHEALTHY, "Node is unhealthy", {"numSlotsBehind": None})


def get_health(call: Call) -> Any:
    check_health(call.node, call.path)
    return "ok"


def get_version(call: Call) -> Any:
    return {"solana-core": CORE_VERSION, "feature-set": FEATURE_SET}


def get_identity(call: Call) -> Any:
    return {"identity": str(call.node.identity)}


def get_genesis_hash(call: Call) -> Any:
    return call.node.genesis_hash


def get_slot(call: Call) -> Any:
    return call.bank(call.params.config(0))


def get_block_height(call: Call) -> Any:
    return block_height(call.bank(call.params.config(0)))


def get_latest_blockhash(call: Call) -> Any:
    slot = call.bank(call.params.config(0))
    blockhash = call.node.blockhashes.of(slot)
    return with_context(
        slot, {"blockhash": str(blockhash), "lastValidBlockHeight": block_height(slot) + MAX_PROCESSING_AGE}
    )


def is_blockhash_valid(call: Call) -> Any:
    blockhash = parse_hash(call.params.text(0))
    slot = call.bank(call.params.config(1))
    return with_context(slot, call.node.blockhashes.good_at(blockhash, slot))


def get_block_time(call: Call) -> Any:
    slot, first = call.params.integer(0), call.first_block()
    if not FIRST_SLOT <= slot <= call.tip():
        raise NodeError(BLOCK_NOT_AVAILABLE, f"Block not available for slot {slot}")
    if slot < first:
        message = f"Block {slot} cleaned up, does not exist on node. First available block: {first}"
        raise NodeError(BLOCK_CLEANED_UP, message)
    return call.node.slots.block_time(slot)


def get_epoch_info(call: Call) -> Any:
    slot = call.bank(call.params.config(0))
    epoch, index = divmod(slot, SLOTS_PER_EPOCH)
    return {
        "absoluteSlot": slot,
        "blockHeight": block_height(slot),
        "epoch": epoch,
        "slotIndex": index,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": call.node.history.count_up_to(slot),
    }


def get_transaction_count(call: Call) -> Any:
    return call.node.history.count_up_to(call.bank(call.params.config(0)))


def get_minimum_balance(call: Call) -> Any:
    size = call.params.integer(0)
    call.params.config(1).commitment()
    return call.node.minimum_rent(size)


def get_recent_prioritization_fees(call: Call) -> Any:
    if call.params.values:
        call.params.keys(0, MAX_PRIORITIZATION_ACCOUNTS)
    tip = call.tip()
    fee = call.node.prioritization_fee
    return [{"slot": slot, "prioritizationFee": fee} for slot in range(tip - PRIORITIZATION_SLOTS + 1, tip + 1)]


def get_fee_for_message(call: Call) -> Any:
    try:
        message = from_bytes_versioned(base64.b64decode(call.params.text(0), validate=True))
    except (ValueError, binascii.Error) as error:
        raise invalid_params(f"invalid base64 message: {error}") from error
    slot = call.bank(call.params.config(1))
    if not call.node.blockhashes.good_at(message.recent_blockhash, slot):
        return with_context(slot, None)
    return with_context(slot, call.node.fee_of(message))


def get_first_available_block(call: Call) -> Any:
    return call.first_block()


def request_airdrop(call: Call) -> Any:
    to, lamports = call.params.key(0), call.params.integer(1)
    call.params.config(2).commitment(Commitment.FINALIZED)
    return call.node.airdrop(to, lamports)


METHODS: dict[str, Callable[[Call], Any]] = {
    "getHealth": get_health,
    "getVersion": get_version,
    "getIdentity": get_identity,
    "getGenesisHash": get_genesis_hash,
    "getSlot": get_slot,
    "getBlockHeight": get_block_height,
    "getLatestBlockhash": get_latest_blockhash,
    "isBlockhashValid": is_blockhash_valid,
    "getBlockTime": get_block_time,
    "getEpochInfo": get_epoch_info,
    "getTransactionCount": get_transaction_count,
    "getMinimumBalanceForRentExemption": get_minimum_balance,
    "getRecentPrioritizationFees": get_recent_prioritization_fees,
    "getFeeForMessage": get_fee_for_message,
    "getFirstAvailableBlock": get_first_available_block,
    "requestAirdrop": request_airdrop,
}
