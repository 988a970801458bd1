"""What the `solana` rail reads before it signs, and the trial run of what it is about to have signed."""

import json
from collections.abc import Sequence

from chain import programs
from chain.packed_plan import PackedPlan
from chain.usdc_payouts import token_account
from domain.destinations import AccountStanding, PackedView
from domain.errors import BlockhashNotFound
from indexer.effects.accounts import Account, made, parse_token_account
from indexer.effects.errors import MalformedAnswer
from indexer.rpc.node import ACCOUNTS_MAX
from indexer.rpc.pool import RpcPool
from indexer.sender import Sender
from indexer.together import together


class PackedChain(Sender):
    """Accounts as the newest confirmed block has them: what the transaction will meet. Raises Retryable."""

    def __init__(self, rpc: RpcPool, usdc_mint: str) -> None:
        super().__init__(rpc)
        self._mint = usdc_mint

    async def standings(self, owners: Sequence[str]) -> list[AccountStanding]:
        """The owners' associated USDC accounts, in order; a call for each hundred, side by side."""
        pages = [owners[start : start + ACCOUNTS_MAX] for start in range(0, len(owners), ACCOUNTS_MAX)]
        found = await together([self._page(page) for page in pages])
        return [standing for page in found for standing in page]

    async def empty(self, accounts: Sequence[str]) -> list[str]:
        """Those of these token accounts that are there and hold nothing."""
        pages = [accounts[start : start + ACCOUNTS_MAX] for start in range(0, len(accounts), ACCOUNTS_MAX)]
        found = await together([self._rpc.get_accounts(page, "confirmed") for page in pages])
        shown = [account for page in found for account in page.accounts]
        return [address for address, account in zip(accounts, shown, strict=True) if _is_empty(account)]

    async def _page(self, owners: Sequence[str]) -> list[AccountStanding]:
        asked = [token_account(owner, self._mint) for owner in owners]
        found = await self._rpc.get_accounts(asked, "confirmed")
        return [self._standing(account, owner) for account, owner in zip(found.accounts, owners, strict=True)]

    async def view(self, plan: PackedPlan) -> PackedView:
        """Everything that the group's transaction is about to touch, at one slot."""
        owners = [one.owner for one in plan.transfers]
        asked = [plan.source_account, plan.receipt, plan.platform_wallet]
        asked += [token_account(owner, self._mint) for owner in owners]
        source, receipt, wallet, *destinations = (await self._rpc.get_accounts(asked, "confirmed")).accounts
        return PackedView(
            standings=tuple(
                self._standing(account, owner) for account, owner in zip(destinations, owners, strict=True)
            ),
            source_trouble=self._trouble(source, plan),
            receipt_is_made=receipt is not None and receipt.program != programs.SYSTEM,
            receipt_lamports=0 if receipt is None else receipt.lamports,
            wallet_lamports=0 if wallet is None else wallet.lamports,
        )

    async def simulate(self, wire: bytes) -> str | None:
        """Run unsigned bytes against the newest confirmed block: the node's JSON of the error, None when they would
        succeed. Raises BlockhashNotFound when the endpoint does not know the blockhash (yet)."""
        result = await self._rpc.simulate(wire)
        if result.err is None:
            return None
        if result.err == "BlockhashNotFound":
            raise BlockhashNotFound("the simulation does not know the blockhash yet")
        return json.dumps(result.err)

    def _standing(self, account: Account | None, owner: str) -> AccountStanding:
        account = made(account)
        if account is None:
            return AccountStanding.MISSING
        try:
            held = parse_token_account(account)
        except MalformedAnswer:
            return AccountStanding.FOREIGN
        if (held.program, held.mint, held.owner) != (programs.TOKEN, self._mint, owner):
            return AccountStanding.FOREIGN
        return AccountStanding.FROZEN if held.frozen else AccountStanding.READY

    def _trouble(self, source: Account | None, plan: PackedPlan) -> str | None:
        standing = self._standing(source, plan.platform_wallet)
        if source is None or standing is not AccountStanding.READY:
            return f"the platform wallet's USDC account {plan.source_account} is {standing}"
        held = parse_token_account(source).amount
        return (
            None if held >= plan.total else f"the platform wallet holds {held} base units, {plan.total} are to be paid"
        )


def _is_empty(account: Account | None) -> bool:
    if account is None or account.program != programs.TOKEN:
        return False
    return parse_token_account(account).amount == 0
