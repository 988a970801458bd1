"""What really happened, by the worlds' own records: Stripe's books, Circle's orders, the chain's blocks."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from solders.pubkey import Pubkey

from sandbox.circle_service import CircleService
from sandbox.circle_service.transactions import OUTBOUND
from sandbox.mint_service import Books
from sandbox.service import Request
from sandbox.solana_node import Commitment, SolanaNode
from sandbox.solana_node.history import Landed, TokenChange
from sandbox.solana_node.node import USDC_DEVNET
from sandbox.solana_node.token_layouts import associated_token_address, parse_token, token_amount
from sandbox.stripe_service import StripeService


@dataclass(slots=True)
class Sent:
    """What the daemons sent, as far as it is judged: key → the bodies that went out under it."""

    keys: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    mint_keys: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Those of orders at Circle Mint: each is its order's alone, whatever backup is put back."""
    acknowledged: set[str] = field(default_factory=set)
    """Ids of Stripe's events that were answered 200."""
    acts: dict[str, str] = field(default_factory=dict)
    """Requests of operators that were answered as done and changed something: id → what was asked."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wanted which work at the price that he was shown, and what its author said of it: which basis points of the
    creator side are whose, how many there are, what each is called and where its picture lies."""

    buyer: int
    content: int
    price_cents: int
    shares: Mapping[int, int]
    editions: int | None
    title: str
    uri: str


@dataclass(slots=True)
class People:
    """What the people of a world know of it by themselves."""

    wishes: dict[str, Wish] = field(default_factory=dict)
    """By the Stripe Session on whose page each of them was."""
    asked_back: Counter[str] = field(default_factory=Counter)
    """Payment → how often an operator has asked for money of it to be given back."""
    addresses: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """E-mail address → where that person has wanted to be paid, beside the wallet that Circle made for him."""
    agreed: dict[str, int] = field(default_factory=dict)
    """Order of USDC from Circle Mint, by its UUID → base units that its approvers agreed to, or were about to."""
    by_hand: set[str] = field(default_factory=set)
    """Transfers that somebody made in Circle Mint's console, by Circle's ids."""
    said_settled: Counter[str] = field(default_factory=Counter)
    """What operators have said, or were about to say, that they settled by hand: `paid`, `repaid`, `forgiven`, and
    what came to the wallet and was their `own` → base units."""
    withdrawn: set[int] = field(default_factory=set)
    """Announced conversions that operators have asked to withdraw, by their numbers."""


class Records:
    """Reads the three services. Finalized blocks are read once: they never change."""

    def __init__(
        self, stripe: StripeService, circle: CircleService, node: SolanaNode, platform: str, stripe_key: str
    ) -> None:
        self._stripe, self._circle, self._node = stripe, circle, node
        self._platform, self._stripe_key = Pubkey.from_string(platform), stripe_key
        self.treasury_account = associated_token_address(self._platform, USDC_DEVNET)
        self.sent = Sent()
        self.secrets: set[str] = set()
        """What the database may nowhere hold in the clear."""
        self.people: People | None = None
        """None where whoever watches doesn't know them: then nobody is asked what he wanted."""
        self.restored = False
        """An old backup of the database was put back: what it did not know may be lost to it."""
        self.out_of_sight: dict[str, str] = {}
        """Order that Circle has given up although it had landed → the signature that it no longer names."""
        self.strangers: set[str] = set()
        """To whom a creator has given his USDC account."""
        self.in_hand: set[str] = set()
        """Outflows that landed so soon after that nobody could know."""
        self.mint: Books | None = None
        """The account at Circle Mint, where the daemons convert through it."""
        self._payments: list[Mapping[str, Any]] | None = None
        """What Stripe has answered while all stands still."""
        self._read = 0
        self._outflows: dict[str, dict[str, int]] = {}
        self._inflows: dict[str, int] = {}
        self._inflow = 0
        self._nfts: dict[str, str] = {}
        self._landed: set[str] = set()
        self._nft_makers: Counter[str] = Counter()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Nothing happens meanwhile: Stripe is asked once for what several rules want to know."""
        self._payments = self.payments()
        try:
            yield
        finally:
            self._payments = None

    # --- Stripe -----------------------------------------------------------------------------------------------

    def payments(self) -> list[Mapping[str, Any]]:
        """Every charge that took or takes money, with what became of it."""
        if self._payments is not None:
            return self._payments
        ledger: Any = self._stripe.controls.ledger()
        return list(ledger["payments"])

    def stripe_cents(self) -> int:
        """Everything that the account at Stripe holds, available or not."""
        ledger: Any = self._stripe.controls.ledger()
        return int(ledger["totals"]["balance_cents"])

    def events(self) -> Iterator[Mapping[str, Any]]:
        """All events, by Stripe's own list."""
        after = ""
        while True:
            headers = {"authorization": f"Bearer {self._stripe_key}"}
            answer = self._stripe.handle(Request("GET", "/v1/events", f"limit=100{after}", headers, b""))
            page = json.loads(answer.body)
            yield from page["data"]
            if not page["has_more"]:
                return
            after = f"&starting_after={page['data'][-1]['id']}"

    def restore(self) -> None:
        """An old backup is put back. Of what was ordered and never reached Circle nothing can be known any more: its
        key is the right one again, with whatever is due by then."""
        self.restored = True
        self.sent.acknowledged.clear()
        self.sent.acts.clear()
        for key in [key for key in self.sent.keys if not self._circle.custody.replays.knows(key)]:
            del self.sent.keys[key]

    # --- Circle -----------------------------------------------------------------------------------------------

    def orders(self) -> list[Any]:
        """Every outbound transaction that Circle ever made."""
        return [one for one in self._circle.custody.transactions.all() if one.kind == OUTBOUND]

    def is_by_hand(self, transfer_id: str) -> bool:
        """Whether somebody made it in Circle Mint's console."""
        return self.people is not None and transfer_id in self.people.by_hand

    def is_platform(self, address: str) -> bool:
        return address == str(self._platform)

    def wallets(self) -> dict[str, str]:
        """Every wallet that Circle made: address → whose it is, by the id that we gave him."""
        made = self._circle.custody.wallets.wallets.values()
        return {one.address: one.user_id or one.ref_id or "" for one in made}

    # --- the chain --------------------------------------------------------------------------------------------

    def outflows(self) -> Mapping[str, Mapping[str, int]]:
        """Every finalized transaction that took USDC from the platform wallet: signature → owner → base units."""
        self._read_blocks()
        return self._outflows

    def inflow(self) -> int:
        """All base units that ever arrived in the platform wallet, finalized."""
        self._read_blocks()
        return self._inflow

    def inflows(self) -> Mapping[str, int]:
        """Every finalized transaction that brought USDC into the platform wallet: signature → base units."""
        self._read_blocks()
        return self._inflows

    def nfts(self) -> Mapping[str, str]:
        """Every NFT made by the platform wallet, finalized: mint address → its first owner."""
        self._read_blocks()
        return self._nfts

    def minted_as(self, mint: str) -> Mapping[str, Any]:
        """What a finalized mint account says of itself, as a node parses it; empty where there is none."""
        account = self._node.account(Pubkey.from_string(mint), Commitment.FINALIZED)
        parsed = None if account is None else parse_token(account, None)
        return {} if parsed is None else parsed["info"]

    def landed(self) -> frozenset[str]:
        """Signatures of all finalized transactions that took effect."""
        self._read_blocks()
        return frozenset(self._landed)

    def made_twice(self) -> list[str]:
        """Mint addresses that got more than one token."""
        self._read_blocks()
        return [mint for mint, times in self._nft_makers.items() if times > 1]

    def treasury_usdc(self) -> int:
        """Finalized base units of the platform wallet."""
        return self._units(self.treasury_account)

    def usdc_of(self, owner: str) -> int:
        """Finalized base units of any owner's associated account."""
        return self._units(associated_token_address(Pubkey.from_string(owner), USDC_DEVNET))

    def has_account(self, owner: str) -> bool:
        """Whether an owner's associated USDC account is there at finalized."""
        return self.exists(str(associated_token_address(Pubkey.from_string(owner), USDC_DEVNET)))

    def exists(self, address: str) -> bool:
        """Whether a finalized account is there."""
        return self._node.account(Pubkey.from_string(address), Commitment.FINALIZED) is not None

    def lamports(self) -> int:
        """Finalized lamports of the platform wallet."""
        account = self._node.account(self._platform, Commitment.FINALIZED)
        return 0 if account is None else account.lamports

    def takes_usdc(self, landed: Landed) -> bool:
        """Whether a transaction takes USDC from the platform wallet, if no fork undoes it."""
        return landed.err is None and self._own(landed.token_changes()) < 0

    def _own(self, changes: Sequence[TokenChange]) -> int:
        treasury, usdc = str(self.treasury_account), str(USDC_DEVNET)
        return sum(change.delta for change in changes if change.account == treasury and change.mint == usdc)

    def _units(self, address: Pubkey) -> int:
        account = self._node.account(address, Commitment.FINALIZED)
        return 0 if account is None else token_amount(account)

    def _read_blocks(self) -> None:
        until = self._node.history.count_up_to(self._node.bank(Commitment.FINALIZED))
        for landed in self._node.history.landed[self._read : until]:
            if landed.err is None:
                self._landed.add(landed.signature)
                self._note(landed.signature, landed.token_changes())
        self._read = max(self._read, until)

    def _note(self, signature: str, changes: list[TokenChange]) -> None:
        treasury, usdc, own = str(self.treasury_account), str(USDC_DEVNET), self._own(changes)
        if own > 0:
            self._inflows[signature] = own
            self._inflow += own
        elif own < 0:
            to: dict[str, int] = defaultdict(int)
            for change in changes:
                if change.mint == usdc and change.account != treasury:
                    to[change.owner] += change.delta
            self._outflows[signature] = dict(to)
        for change in changes:
            if change.mint != usdc and change.delta > 0:
                self._nfts.setdefault(change.mint, change.owner)
                self._nft_makers[change.mint] += change.delta
