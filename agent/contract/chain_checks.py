"""What is asked of the chain, of Circle's signatures, and of Token-2022 in Circle's wallets (reference/solana.md)."""

import base64

from solders.message import TransactionConfig, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from agent.contract.check import Answer, Check, Failed, Finding, Skipped
from agent.contract.ground import Ground
from chain.addresses import parse_address
from chain.nft import NftPlan, Token2022Nft
from chain.transactions import message_bytes, signature_of, unsigned_v0, unsigned_v1, with_signature
from domain.errors import OutcomeUnknown, Rejected, Retryable
from domain.keys import mint_seed
from gateways.circle_api import Lane
from gateways.circle_api.client import Call, CircleRefusal, read_call
from gateways.circle_api.rates import CallClass
from gateways.circle_api.wallets import WALLETS
from indexer.readback import ReadBack
from indexer.sender import Sender

MESSAGE = "contract check"
NFT_NAME, NFT_URI = "Contract check", "ipfs://bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
NFT_SECONDS = 90.0
LISTED_SECONDS = 90.0
MOVE_SECONDS = 120.0
V1_UNITS = 20_000
_SIGN_TRANSACTION = "/v1/w3s/developer/sign/transaction"


async def cluster(ground: Ground) -> Finding:
    """The endpoints are of the test cluster, and it moves."""
    genesis = await ground.rpc.get_genesis_hash()
    if genesis != ground.settings.genesis_hash:
        raise Failed(f"the cluster's genesis hash is {genesis}", "point SOLANA_RPC_URLS at devnet")
    mint = (await ground.rpc.get_accounts([ground.settings.usdc_mint])).accounts[0]
    if mint is None:
        raise Failed("USDC's mint is not on this cluster", "point SOLANA_RPC_URLS at devnet")
    answers: dict[str, Answer] = {"version": await ground.rpc.get_version(), "providers": len(ground.rpc.health())}
    return Finding("devnet, with USDC", answers)


async def sign_message(ground: Ground) -> Finding:
    """In which form Circle writes the signature of a message."""
    body = {"walletId": ground.settings.circle_w3s_platform_wallet_id, "message": MESSAGE}
    call = Call("sign message", "POST", "/v1/w3s/developer/sign/message", CallClass.SIGN, body=body, takes_secret=True)
    signature = str((await ground.client.data(call))["signature"])
    for form, read in (("hex", _from_hex), ("base58", Signature.from_string)):
        try:
            parsed = read(signature)
        except (ValueError, TypeError):
            continue
        if parsed.verify(Pubkey.from_string(_wallet(ground)), MESSAGE.encode()):
            return Finding(f"the signature is {form}", {"message_signature": form})
    raise Failed("the signature of a message is neither hex nor base58, or does not fit", "report it")


async def sign_partial(ground: Ground) -> Finding:
    """Circle signs a transaction that has another signer, whose signature stays as it is."""
    stranger, platform = ground.stranger, _wallet(ground)
    blockhash = (await ground.rpc.latest_blockhash()).blockhash
    pays = TransferParams(from_pubkey=stranger.pubkey(), to_pubkey=Pubkey.from_string(platform), lamports=1)
    wire = unsigned_v0(platform, [transfer(pays)], blockhash)
    own = str(stranger.sign_message(message_bytes(wire)))
    answer = await ground.client.data(_sign_call(ground, with_signature(wire, str(stranger.pubkey()), own)))
    whole = with_signature(wire, platform, str(answer["signature"]))
    signed = VersionedTransaction.from_bytes(base64.b64decode(str(answer["signedTransaction"])))
    kept = own in [str(one) for one in signed.signatures]
    if to_bytes_versioned(signed.message) != message_bytes(whole):
        raise Failed("Circle signed another message than it was given", "report it: do not go live")
    return Finding("signed beside another signer", {"cosignature_kept": kept})


async def sign_foreign(ground: Ground) -> Finding:
    """What Circle answers when the wallet is no signer of the transaction."""
    stranger = ground.stranger.pubkey()
    blockhash = (await ground.rpc.latest_blockhash()).blockhash
    pays = TransferParams(from_pubkey=stranger, to_pubkey=Pubkey.from_string(_wallet(ground)), lamports=1)
    try:
        await ground.client.try_call(_sign_call(ground, unsigned_v0(str(stranger), [transfer(pays)], blockhash)))
    except CircleRefusal as refusal:
        return Finding("refused", {"non_signer": f"HTTP {refusal.status}, code {refusal.code}"})
    return Finding("answered all the same; we check each signature ourselves", {"non_signer": "signed"})


async def sign_v1(ground: Ground) -> Finding:
    """Whether Circle signs transactions of version 1."""
    wire = await _v1(ground)
    try:
        answer = await ground.client.try_call(_sign_call(ground, wire))
        with_signature(wire, _wallet(ground), str(answer["data"]["signature"]))
    except (CircleRefusal, Rejected) as error:
        raise Failed(f"not signed: {error}", "leave the format of packed payouts at v0, which is the default") from None
    return Finding("signed, and the signature fits")


async def rpc_v1(ground: Ground) -> Finding:
    """Whether the RPC providers run transactions of version 1."""
    wire = await _v1(ground)
    answers = await ground.rpc.survey(lambda node: node.simulate(wire))
    refused = [one.err for one in answers if one.err is not None]
    if refused:
        raise Failed(f"a v1 transaction is refused: {refused[0]}", "leave the format of packed payouts at v0")
    return Finding(f"{len(answers)} providers run it")


async def nft(ground: Ground) -> Finding:
    """The NFT of a sale, minted into a wallet of Circle's: the same one in every run."""
    platform, holder = _wallet(ground), _holder(ground)
    plan = NftPlan.derived(
        seed=mint_seed(ground.secret, f"contract:{holder}"),
        platform_wallet=platform,
        buyer=holder,
        name=NFT_NAME,
        symbol=ground.settings.agent_nft_symbol,
        uri=NFT_URI,
    )
    witness, ground.found.nft_mint = ReadBack(ground.rpc, platform, ground.settings.usdc_mint), plan.mint_address
    signature = await witness.maker_of(plan.mint_address)
    before = signature
    if signature is None:
        signature = await _mint(ground, plan, witness)
    evidence = await witness.mint_evidence(signature, plan)
    if not evidence.matches:
        raise Failed(f"the NFT reads back otherwise than planned: {evidence.why}", "report it")
    made = "minted" if before is None else "there from an earlier run"
    return Finding(f"{made}, reads back as planned", {"mint": plan.mint_address, "lamports": evidence.cost_lamports})


async def _mint(ground: Ground, plan: NftPlan, witness: ReadBack) -> str:
    standard, sender = Token2022Nft(), Sender(ground.rpc)
    rent = await sender.minimum_rent(standard.rent_sizes(plan)[0])
    if await sender.lamports(plan.platform_wallet) < ground.settings.agent_mint_fee_ceiling_lamports:
        mend = f"send test SOL to {plan.platform_wallet} (faucet.solana.com)"
        raise Skipped("the platform wallet has too little test SOL for a mint", mend)
    blockhash, _ = await sender.latest_blockhash()
    present = await sender.lamports(plan.mint_address)
    wire = standard.build(plan, blockhash=blockhash, rent_lamports=rent, mint_lamports_now=present)
    standard.verify(wire, plan, ground.settings.agent_mint_fee_ceiling_lamports)
    wallet_id = ground.settings.circle_w3s_platform_wallet_id
    signature = await ground.circle.sign_transaction(wallet_id, wire, NFT_NAME, Lane.MINT)
    signed = with_signature(wire, plan.platform_wallet, signature)

    async def has_landed() -> bool:
        try:
            await sender.send(signed, skip_preflight=True)
        except (OutcomeUnknown, Retryable):
            pass
        try:
            return await witness.maker_of(plan.mint_address) is not None
        except Retryable:
            return False

    if not await ground.until(has_landed, NFT_SECONDS):
        raise Failed("the mint did not become final in time", "run it again: an NFT that exists is found")
    return signature_of(signed)


async def lists_nft(ground: Ground) -> Finding:
    """Whether Circle lists a Token-2022 NFT in its wallet."""
    if ground.found.nft_mint is None or ground.found.holder_id is None:
        raise Skipped("there is no NFT to look for", "mend chain.nft first")
    path, mint = f"{WALLETS}/{ground.found.holder_id}/nfts", ground.found.nft_mint
    call = read_call("list NFTs", path, {"includeAll": "true", "pageSize": "50"})

    async def is_listed() -> bool:
        found = (await ground.client.data(call)).get("nfts")
        return any(row["token"].get("tokenAddress") == mint for row in found or [])

    if not await ground.until(is_listed, LISTED_SECONDS):
        raise Failed("Circle does not list the NFT", "show it from our own library; wallets of Circle's won't")
    return Finding("Circle lists it")


async def moves_nft(ground: Ground) -> Finding:
    """Whether a buyer can move a Token-2022 NFT out of his Circle wallet. It goes to the stranger, and stays there."""
    if ground.found.nft_mint is None or ground.found.holder_id is None:
        raise Skipped("there is no NFT to move", "mend chain.nft first")
    fields = {
        "walletId": ground.found.holder_id,
        "tokenAddress": ground.found.nft_mint,
        "blockchain": ground.settings.blockchain,
        "destinationAddress": str(ground.stranger.pubkey()),
        "amounts": ["1"],
        "feeLevel": "MEDIUM",
        "refId": "contract-nft",
    }
    wallet = f"{ground.found.holder_address}"
    if (await ground.rpc.get_balance(wallet, "confirmed")).amount == 0:
        mend = f"send 0.01 test SOL to {wallet} (faucet.solana.com): the NFT's owner pays for its way"
        raise Skipped("the NFT's wallet has no test SOL", mend)
    try:
        moved = await ground.circle.submit_transfer(ground.ids.uuid(), fields)
    except Rejected as error:
        raise Failed(
            f"Circle refuses to move it: {error}", "buyers of `developer` wallets can't move their NFTs"
        ) from None

    async def has_ended() -> bool:
        return (await ground.circle.fetch_transaction(moved.id)).is_terminal

    await ground.until(has_ended, MOVE_SECONDS)
    ended = await ground.circle.fetch_transaction(moved.id)
    if ended.state != "COMPLETE":
        raise Failed(f"the move ended {ended.state}: {ended.error_reason}", "look at it in Circle's console")
    return Finding("Circle moved it")


def _sign_call(ground: Ground, wire: bytes) -> Call:
    body = {
        "walletId": ground.settings.circle_w3s_platform_wallet_id,
        "rawTransaction": base64.b64encode(wire).decode(),
        "memo": "contract check",
    }
    return Call("sign transaction", "POST", _SIGN_TRANSACTION, CallClass.SIGN, body=body, takes_secret=True)


async def _v1(ground: Ground) -> bytes:
    """A transfer of nothing from the platform wallet to itself, in version 1; it is never sent."""
    platform = parse_address(_wallet(ground))
    blockhash = (await ground.rpc.latest_blockhash()).blockhash
    pays = TransferParams(from_pubkey=platform, to_pubkey=platform, lamports=0)
    config = TransactionConfig(compute_unit_limit=V1_UNITS)
    return unsigned_v1(str(platform), [transfer(pays)], blockhash, config)


def _wallet(ground: Ground) -> str:
    if ground.found.platform_address is None:
        raise Skipped("the platform wallet is not known", "mend circle.platform_wallet first")
    return ground.found.platform_address


def _holder(ground: Ground) -> str:
    if ground.found.holder_address is None:
        raise Skipped("there is no wallet for the NFT", "mend circle.wallet first")
    return ground.found.holder_address


def _from_hex(text: str) -> Signature:
    return Signature.from_bytes(bytes.fromhex(text.removeprefix("0x")))


_WALLET = ("circle.platform_wallet",)
_NFT = ("chain.nft",)
CHECKS = (
    Check("chain.cluster", "Are the RPC providers on devnet?", cluster),
    Check("circle.sign_message", "In which form is a message's signature?", sign_message, needed=False, after=_WALLET),
    Check("circle.sign_partial", "Does Circle sign beside another signer?", sign_partial, after=_WALLET),
    Check(
        "circle.sign_foreign",
        "What does it answer when the wallet is no signer?",
        sign_foreign,
        needed=False,
        after=_WALLET,
    ),
    Check("circle.sign_v1", "Does Circle sign version 1?", sign_v1, needed=False, after=_WALLET),
    Check("chain.v1", "Do the RPC providers run version 1?", rpc_v1, needed=False, after=_WALLET),
    Check("chain.nft", "Can the NFT be minted into a wallet of Circle's?", nft, after=(*_WALLET, "circle.wallet")),
    Check("circle.lists_nft", "Does Circle list a Token-2022 NFT?", lists_nft, needed=False, after=_NFT),
    Check("circle.moves_nft", "Does Circle move a Token-2022 NFT?", moves_nft, needed=False, after=_NFT),
)
