"""Tokens and what a wallet holds of them, read from the chain. Circle sees associated token accounts only."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain as joined

from solders.account import Account
from solders.pubkey import Pubkey

from sandbox.circle_service.chain import USDC_DEVNET_MINT, Chain
from sandbox.circle_service.errors import token_not_found
from sandbox.circle_service.solana import NATIVE_DECIMALS, TOKEN_2022_PROGRAM, associated_address
from sandbox.circle_service.wallets import Wallet
from sandbox.circle_service.wire import iso
from sandbox.solana_node.slots import Commitment

USDC_TOKEN_ID = "8fb3cadb-0ef4-573d-8fcd-e194f961c728"
"""Circle's constant for USDC on SOL-DEVNET (reference/circle.md, section 11)."""
NATIVE_TOKEN_ID = "4f6f1e2b-9c1a-5d54-8b0e-6a3d51e0c0a7"
"""Ours: Circle's id of native SOL was not found. Stable, so that a client may keep it."""
ID_NAMESPACE = uuid.UUID("0c4f1c1e-6a57-5c2e-9d0b-1f7b3a5e8d42")
"""Other tokens' ids are derived from their mint, so that they are stable too."""
TOKENS_EPOCH_MS = 1_700_000_000_000
"""createDate of every token: Circle's catalogue is older than any sandbox."""
MINT_DECIMALS_OFFSET = 44
"""Same place in both token programs' mint layout."""
BALANCE_COMMITMENT = Commitment.CONFIRMED
"""Circle updates balances at CONFIRMED (reference/circle.md, section 4)."""


@dataclass(frozen=True, slots=True)
class Token:
    id: str
    blockchain: str
    decimals: int
    name: str
    symbol: str
    standard: str | None
    mint: Pubkey | None
    program: Pubkey | None

    @property
    def create_ms(self) -> int:
        return TOKENS_EPOCH_MS

    @property
    def is_native(self) -> bool:
        return self.mint is None

    def view(self) -> dict[str, object]:
        view: dict[str, object] = {
            "id": self.id,
            "blockchain": self.blockchain,
            "name": self.name,
            "symbol": self.symbol,
            "decimals": self.decimals,
            "isNative": self.is_native,
            "createDate": iso(TOKENS_EPOCH_MS),
            "updateDate": iso(TOKENS_EPOCH_MS),
        }
        if self.standard is not None:
            view["standard"] = self.standard
        if self.mint is not None:
            view["tokenAddress"] = str(self.mint)
        return view


@dataclass(frozen=True, slots=True)
class Holding:
    """What one wallet has of one token, in base units."""

    token: Token
    units: int

    @property
    def id(self) -> str:
        return self.token.id

    @property
    def create_ms(self) -> int:
        return TOKENS_EPOCH_MS

    @property
    def is_nft(self) -> bool:
        return self.token.standard == "NonFungible"


class TokenBook:
    """The tokens that the chain has shown so far, and wallets' holdings of them."""

    def __init__(self, chain: Chain, blockchain: str) -> None:
        self._chain = chain
        self._blockchain = blockchain
        self._by_id: dict[str, Token] = {}
        self._by_mint: dict[Pubkey, Token] = {}
        self.native = Token(NATIVE_TOKEN_ID, blockchain, NATIVE_DECIMALS, "Solana", "SOL", None, None, None)
        self._by_id[NATIVE_TOKEN_ID] = self.native

    def get(self, token_id: str) -> Token:
        if token_id == USDC_TOKEN_ID and token_id not in self._by_id:
            return self.at(USDC_DEVNET_MINT)
        if token_id not in self._by_id:
            raise token_not_found()
        return self._by_id[token_id]

    def at(self, address: str) -> Token:
        """The token with this mint address; "" is native SOL. Raises 404 when there is no such mint."""
        if address == "":
            return self.native
        try:
            mint = Pubkey.from_string(address)
        except ValueError as error:
            raise token_not_found() from error
        return self._learn(mint)

    def holdings(self, wallet: Wallet) -> list[Holding]:
        """Native first, then associated token accounts with something in them."""
        owner = wallet.keypair.pubkey()
        own = self._chain.account(owner, BALANCE_COMMITMENT)
        native = [Holding(self.native, own.lamports)] if own is not None and own.lamports else []
        return list(joined(native, self._token_holdings(owner)))

    def units_of(self, wallet: Wallet, token: Token) -> int:
        owner = wallet.keypair.pubkey()
        if token.mint is None or token.program is None:
            own = self._chain.account(owner, BALANCE_COMMITMENT)
            return own.lamports if own is not None else 0
        account = self._chain.account(associated_address(owner, token.mint, token.program), BALANCE_COMMITMENT)
        return amount_of(account) if account is not None else 0

    def _token_holdings(self, owner: Pubkey) -> Iterable[Holding]:
        for address, account in self._chain.token_accounts(owner, BALANCE_COMMITMENT):
            mint = Pubkey.from_bytes(account.data[:32])
            if address == associated_address(owner, mint, account.owner) and amount_of(account):
                yield Holding(self._learn(mint), amount_of(account))

    def _learn(self, mint: Pubkey) -> Token:
        if mint not in self._by_mint:
            account = self._chain.account(mint, BALANCE_COMMITMENT)
            if account is None or len(account.data) <= MINT_DECIMALS_OFFSET:
                raise token_not_found()
            self._by_mint[mint] = token = self._describe(mint, account)
            self._by_id[token.id] = token
        return self._by_mint[mint]

    def _describe(self, mint: Pubkey, account: Account) -> Token:
        decimals = account.data[MINT_DECIMALS_OFFSET]
        if str(mint) == USDC_DEVNET_MINT:
            return Token(USDC_TOKEN_ID, self._blockchain, decimals, "USD Coin", "USDC", "Fungible", mint, account.owner)
        standard = "NonFungible" if account.owner == TOKEN_2022_PROGRAM and decimals == 0 else "Fungible"
        token_id = str(uuid.uuid5(ID_NAMESPACE, str(mint)))
        return Token(token_id, self._blockchain, decimals, "", "", standard, mint, account.owner)


def amount_of(account: Account) -> int:
    """Base units in a token account (bytes 64 to 72 in both programs)."""
    return int.from_bytes(account.data[64:72], "little")
