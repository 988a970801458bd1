"""The platform's own wallet: made before the daemon starts, as a person would make it in Circle's console."""

from dataclasses import dataclass

from sandbox.circle_service.faucet import give
from sandbox.circle_service.service import CircleService
from sandbox.circle_service.wallets import Label


@dataclass(frozen=True, slots=True)
class Platform:
    wallet_set_id: str
    wallet_id: str
    address: str


def setup_platform(
    service: CircleService,
    *,
    name: str = "Platform",
    ref_id: str = "platform",
    lamports: int = 0,
    usdc_base_units: int = 0,
) -> Platform:
    """A wallet set with one developer-controlled wallet, funded from the chain's faucet with what is asked."""
    custody = service.custody
    wallet_set = custody.wallets.create_set(name)
    wallet = custody.wallets.create(wallet_set, custody.blockchain, 1, [Label(name, ref_id)])[0]
    if lamports or usdc_base_units:
        give(custody.chain, wallet.address, usdc_base_units, lamports)
    return Platform(wallet_set.id, wallet.id, wallet.address)
