"""What is asked of Circle with a TEST key: keys of idempotency, users, transfers, limits (reference/circle.md, 13)."""

import asyncio
from uuid import UUID, uuid5

from agent.contract.check import Answer, Check, Failed, Finding, Skipped
from agent.contract.ground import Ground
from chain.addresses import ata
from domain.errors import Retryable
from domain.evidence import TransferIntent
from domain.keys import uuid4_shaped
from gateways.circle_api import AlreadyInitialized, CircleTransaction
from gateways.circle_api.client import Call, CircleRefusal, read_call
from gateways.circle_api.notices import WANTED_TYPES
from gateways.circle_api.rates import CallClass
from indexer.readback import ReadBack

SENT_UNITS = 10_000
"""0.01 USDC."""
ABSURD_AMOUNT = "1000000000"
"""USDC that no test wallet has."""
TRANSFER_SECONDS = 180.0
READ_BACK_SECONDS = 60.0
HASTY_CALLS = 40
"""Twice what Circle allows in a second."""
FAUCET = "https://faucet.circle.com"
_V5_NAMESPACE = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


async def key(ground: Ground) -> Finding:
    """The key reads the entity's configuration; the entity secret is the registered one."""
    ground.found.app_id = await ground.circle.app_id()
    return Finding("the key reads the entity's configuration", {"app_id": ground.found.app_id})


async def platform_wallet(ground: Ground) -> Finding:
    """The platform wallet is a live developer-controlled EOA on the test chain."""
    wallet = await ground.circle.fetch_wallet(ground.settings.circle_w3s_platform_wallet_id)
    seen = (wallet.state, wallet.custody_type, wallet.account_type, wallet.blockchain)
    if seen != ("LIVE", "DEVELOPER", "EOA", ground.settings.blockchain):
        raise Failed(
            f"the platform wallet is {', '.join(seen)}", "make a developer-controlled EOA wallet on SOL-DEVNET"
        )
    ground.found.platform_address = wallet.address
    return Finding("live, developer-controlled, EOA", {"platform_address": wallet.address})


async def idempotency(ground: Ground) -> Finding:
    """A repeated key gives the same object; with another body it never makes a second one."""
    key, name = _key(ground, "wallet set"), "Contract checks"
    first = await ground.circle.create_wallet_set(key, name)
    again = await ground.circle.create_wallet_set(key, name)
    if again.id != first.id:
        raise Failed("the same key made two wallet sets", "report it: a repeated transfer could pay twice")
    call = _wallet_set_call(key, "Another name")
    try:
        other = await ground.client.try_call(call)
    except CircleRefusal as refusal:
        answer = f"refused: HTTP {refusal.status}, code {refusal.code}"
    else:
        if other["data"]["walletSet"]["id"] != first.id:
            raise Failed("a known key with another body made a second object", "report it")
        answer = "the old object"
    return Finding("one object for one key", {"same_key_other_body": answer})


async def key_of_version_5(ground: Ground) -> Finding:
    """Whether a UUID of version 5 is taken as a key. Ours are of version 4 form, whatever the answer."""
    key = uuid5(_V5_NAMESPACE, f"contract:{_app(ground)}")
    try:
        await ground.client.try_call(_wallet_set_call(key, "Contract checks, version 5"))
    except CircleRefusal as refusal:
        return Finding("refused", {"uuid_v5_accepted": False, "uuid_v5_code": refusal.code})
    return Finding("taken", {"uuid_v5_accepted": True})


async def wallet(ground: Ground) -> Finding:
    """A developer-controlled wallet for a user is made once, and found by its reference."""
    own_set = await ground.circle.create_wallet_set(_key(ground, "wallet set"), "Contract checks")
    key, reference = _key(ground, "holder"), f"contract-{_app(ground)}"
    made = await ground.circle.create_wallet(key, own_set.id, ground.settings.blockchain, reference, "Contract holder")
    again = await ground.circle.create_wallet(key, own_set.id, ground.settings.blockchain, reference, "Contract holder")
    listed = [one.id for one in await ground.circle.list_wallets(ref_id=reference)]
    if again.id != made.id or listed != [made.id]:
        raise Failed(f"the same key and reference gave the wallets {sorted({made.id, again.id, *listed})}", "report it")
    ground.found.holder_id, ground.found.holder_address = made.id, made.address
    return Finding("made once, found by its reference", {"holder_address": made.address})


async def user(ground: Ground) -> Finding:
    """A PIN user is made once and gets a challenge. The PIN itself is set in Circle's client SDK."""
    user_id = str(_key(ground, "user"))
    await ground.circle.create_user(user_id)
    await ground.circle.create_user(user_id)
    token = await ground.circle.user_token(user_id)
    challenge = await ground.circle.initialize_user(token, _key(ground, "initialize"), ground.settings.blockchain)
    if isinstance(challenge, AlreadyInitialized):
        return Finding("the user has a PIN from an earlier run", {"initialize_again": "155106"})
    facts = await ground.circle.fetch_challenge(token, challenge)
    again = await ground.circle.initialize_user(token, _key(ground, "initialize"), ground.settings.blockchain)
    same = again == challenge
    answer = "the same challenge" if same else "another challenge"
    return Finding(f"one user, a challenge that is {facts.status}", {"initialize_again": answer})


async def insufficient(ground: Ground) -> Finding:
    """Which way a transfer beyond the balance is refused: at once, or as a transfer that fails."""
    key = ground.ids.uuid()
    try:
        answer = await ground.client.try_call(_transfer_call(ground, key, ABSURD_AMOUNT, "contract-too-much"))
    except CircleRefusal as refusal:
        return Finding("refused at once", {"insufficient": f"HTTP {refusal.status}, code {refusal.code}"})
    ended, _, _ = await _follow(ground, answer["data"]["id"])
    if ended.state not in {"FAILED", "DENIED", "CANCELLED"}:
        raise Failed(f"a transfer of {ABSURD_AMOUNT} USDC is {ended.state}", "report it")
    return Finding("ordered, then failed", {"insufficient": f"{ended.state}: {ended.error_reason}"})


async def transfer(ground: Ground) -> Finding:
    """A transfer is ordered once by its key, completes, and reads back from the chain as ordered."""
    if ground.found.platform_address is None:
        raise Skipped("the platform wallet is not known", "mend circle.platform_wallet first")
    account = ata(ground.found.platform_address, ground.settings.usdc_mint)
    if (await ground.rpc.get_token_amount(account)).amount < SENT_UNITS:
        mend = f"send test USDC to {ground.found.platform_address} ({FAUCET}, Solana Devnet)"
        raise Skipped("the platform wallet has no test USDC", mend)
    if (await ground.rpc.get_balance(ground.found.platform_address)).amount == 0:
        mend = f"send test SOL to {ground.found.platform_address} (faucet.solana.com)"
        raise Skipped("the platform wallet has no test SOL", mend)
    key = ground.ids.uuid()
    fields = _transfer_fields(ground, "0.01", f"contract-{key}")
    first = await ground.circle.submit_transfer(key, fields)
    again = await ground.circle.submit_transfer(key, fields)
    if again.id != first.id:
        raise Failed("the same key with a fresh ciphertext made two transfers", "report it: repeats would pay twice")
    ended, states, hashes = await _follow(ground, first.id)
    if ended.state != "COMPLETE" or ended.tx_hash is None:
        raise Failed(f"the transfer ended {ended.state}: {ended.error_reason}", "look at it in Circle's console")
    payer = await _read_back(ground, ended)
    answers: dict[str, Answer] = {
        "replayed_state": again.state,
        "states": states,
        "tx_hash_changed": len(hashes) > 1,
        "fee_payer_is_wallet": payer == ground.found.platform_address,
    }
    return Finding("ordered once, complete, reads back from the chain as ordered", answers)


async def rate_limit(ground: Ground) -> Finding:
    """What Circle answers beyond its rate."""
    call = read_call("fetch entity", "/v1/w3s/config/entity")
    asked = await asyncio.gather(*(ground.hasty.try_call(call) for _ in range(HASTY_CALLS)), return_exceptions=True)
    refused = [one for one in asked if isinstance(one, CircleRefusal) and one.status == 429]
    await ground.clock.sleep(1.1)  # so that the checks after this one are not refused for it
    if not refused:
        return Finding(f"{HASTY_CALLS} calls at once were all answered", {"rate_limited": False})
    given = refused[0].headers.get("retry-after")
    return Finding(f"{len(refused)} of {HASTY_CALLS} refused", {"rate_limited": True, "retry_after": given})


async def notifications(ground: Ground) -> Finding:
    """Circle knows where to send its notifications. Without them everything works by polling, later."""
    wanted = f"{ground.settings.public_base_url.rstrip('/')}/api/circle/webhook/"
    mine = [one for one in await ground.circle.list_subscriptions() if one.endpoint == wanted]
    if not mine:
        raise Skipped(f"nothing is subscribed for {wanted}", "subscribe it in Circle's console while the daemon runs")
    if not mine[0].enabled:
        raise Failed("the subscription is off", "enable it in Circle's console")
    covered = {"*", *WANTED_TYPES} & set(mine[0].notification_types)
    if "*" not in covered and not set(WANTED_TYPES) <= covered:
        raise Failed(f"it covers {', '.join(mine[0].notification_types)}", f"subscribe it to {', '.join(WANTED_TYPES)}")
    return Finding("subscribed, enabled")


async def _follow(ground: Ground, transaction_id: str) -> tuple[CircleTransaction, list[str], list[str]]:
    """The transfer at its end, the states that were seen, and the signatures that Circle named on the way."""
    states, hashes = list[str](), list[str]()
    seen: list[CircleTransaction] = []

    async def has_ended() -> bool:
        now = await ground.circle.fetch_transaction(transaction_id)
        seen[:] = [now]
        if now.state not in states:
            states.append(now.state)
        if now.tx_hash and now.tx_hash not in hashes:
            hashes.append(now.tx_hash)
        return now.is_terminal

    if not await ground.until(has_ended, TRANSFER_SECONDS):
        raise Failed(f"the transfer is still {states[-1]} after three minutes", "look at it in Circle's console")
    return seen[0], states, hashes


async def _read_back(ground: Ground, ended: CircleTransaction) -> str:
    """The fee payer, once the finalized transaction is seen to be what was ordered."""
    assert ended.tx_hash is not None and ground.found.platform_address is not None
    signature, mint = ended.tx_hash, ground.settings.usdc_mint
    witness = ReadBack(ground.rpc, ground.found.platform_address, mint)

    async def is_finalized() -> bool:
        try:
            await witness.read_back(signature)
        except Retryable:
            return False
        return True

    if not await ground.until(is_finalized, READ_BACK_SECONDS):
        raise Failed("Circle says complete, and the chain shows no finalized transaction", "check SOLANA_RPC_URLS")
    intent = TransferIntent(ground.found.platform_address, str(ground.stranger.pubkey()), SENT_UNITS)
    evidence = await witness.transfer_evidence(signature, intent)
    if not evidence.matches:
        raise Failed(f"the chain shows something else than was ordered: {evidence.why}", "report it")
    return (await witness.read_back(signature)).fee_payer


def _app(ground: Ground) -> str:
    if ground.found.app_id is None:
        raise Skipped("the entity is not known", "mend circle.key first")
    return ground.found.app_id


def _key(ground: Ground, what: str) -> UUID:
    """The same in every run with the same entity, so that objects that cost nothing are made once and stay."""
    return uuid4_shaped("contract", _app(ground), what)


def _wallet_set_call(key: UUID, name: str) -> Call:
    body = {"idempotencyKey": str(key), "name": name}
    return Call(
        "create wallet set", "POST", "/v1/w3s/developer/walletSets", CallClass.WRITE, body=body, takes_secret=True
    )


def _transfer_fields(ground: Ground, amount: str, reference: str) -> dict[str, object]:
    return {
        "walletId": ground.settings.circle_w3s_platform_wallet_id,
        "tokenId": ground.settings.usdc_token_id,
        "destinationAddress": str(ground.stranger.pubkey()),
        "amounts": [amount],
        "feeLevel": "MEDIUM",
        "refId": reference,
    }


def _transfer_call(ground: Ground, key: UUID, amount: str, reference: str) -> Call:
    body = {**_transfer_fields(ground, amount, reference), "idempotencyKey": str(key)}
    path = "/v1/w3s/developer/transactions/transfer"
    return Call("submit transfer", "POST", path, CallClass.WRITE, body=body, has_effect=True, takes_secret=True)


_KEY = ("circle.key",)
CHECKS = (
    Check("circle.key", "Do key and entity belong together?", key),
    Check("circle.platform_wallet", "Is the platform wallet what the daemon needs?", platform_wallet),
    Check("circle.idempotency", "Does one key make one object, whatever the body?", idempotency, after=_KEY),
    Check("circle.key_v5", "Is a UUID of version 5 taken as a key?", key_of_version_5, needed=False, after=_KEY),
    Check("circle.wallet", "Is a user's developer-controlled wallet made once?", wallet, after=_KEY),
    Check("circle.user", "Is a PIN user made once, and what does initializing again answer?", user, after=_KEY),
    Check("circle.insufficient", "Which way is a transfer beyond the balance refused?", insufficient, needed=False),
    Check(
        "circle.transfer",
        "Does a repeated transfer pay once; does its signature change; who pays?",
        transfer,
        after=("circle.platform_wallet",),
    ),
    Check("circle.rate_limit", "Does a 429 say when to come back?", rate_limit, needed=False),
    Check("circle.notifications", "Are notifications subscribed?", notifications, needed=False),
)
