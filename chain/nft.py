"""The NFT behind one small interface, so that another standard can take Token-2022's place."""

from typing import Protocol

from chain import programs
from chain.addresses import seeded
from chain.nft_build import ComputeBudget, build_mint, payouts_fit
from chain.nft_check import assert_mint_matches
from chain.nft_plan import NftPlan, check_metadata, metadata_size, mint_rent_size
from chain.usdc_payouts import UsdcPayouts

__all__ = [
    "ComputeBudget",
    "NftPlan",
    "NftStandard",
    "Token2022Nft",
    "assert_mint_matches",
    "build_mint",
    "check_metadata",
    "metadata_size",
    "mint_rent_size",
]


class NftStandard(Protocol):
    """How one kind of NFT is named, made and checked. Pure: no chain is read here."""

    def address(self, platform_wallet: str, seed: str) -> str:
        """The NFT's address: one for each wallet and seed, which the chain lets come into being once."""
        ...

    def rent_sizes(self, plan: NftPlan) -> tuple[int, int]:
        """Sizes of the two accounts the platform pays rent for: the mint, and the buyer's token account if absent."""
        ...

    def build(
        self,
        plan: NftPlan,
        *,
        blockhash: str,
        rent_lamports: int,
        mint_lamports_now: int,
        budget: ComputeBudget | None = None,
        payouts: UsdcPayouts | None = None,
    ) -> bytes:
        """The unsigned wire transaction, with `payouts` behind the mint. Lamports as in `build_mint`."""
        ...

    def verify(self, wire: bytes, plan: NftPlan, lamports_ceiling: int, payouts: UsdcPayouts | None = None) -> None:
        """Hold the bytes to be signed against the plan. Raises `Rejected`."""
        ...

    def fits(self, plan: NftPlan, payouts: UsdcPayouts, *, with_budget: bool) -> bool:
        """Whether one transaction holds the mint and these payouts."""
        ...


class Token2022Nft:
    """A Token-2022 mint: 0 decimals, supply 1, mint authority removed, metadata on the mint itself."""

    def address(self, platform_wallet: str, seed: str) -> str:
        """See `NftStandard`."""
        return seeded(platform_wallet, seed, programs.TOKEN_2022)

    def rent_sizes(self, plan: NftPlan) -> tuple[int, int]:
        """See `NftStandard`."""
        return mint_rent_size(plan), programs.TOKEN_2022_ACCOUNT_SIZE

    def build(
        self,
        plan: NftPlan,
        *,
        blockhash: str,
        rent_lamports: int,
        mint_lamports_now: int,
        budget: ComputeBudget | None = None,
        payouts: UsdcPayouts | None = None,
    ) -> bytes:
        """See `NftStandard`."""
        return build_mint(
            plan,
            blockhash=blockhash,
            rent_lamports=rent_lamports,
            mint_lamports_now=mint_lamports_now,
            budget=budget,
            payouts=payouts,
        )

    def verify(self, wire: bytes, plan: NftPlan, lamports_ceiling: int, payouts: UsdcPayouts | None = None) -> None:
        """See `NftStandard`."""
        assert_mint_matches(wire, plan, lamports_ceiling, payouts)

    def fits(self, plan: NftPlan, payouts: UsdcPayouts, *, with_budget: bool) -> bool:
        """See `NftStandard`."""
        return payouts_fit(plan, payouts, with_budget=with_budget)
