"""Which balance alerts stand, from figures alone. Their names are those of the Prometheus rules and of the runbooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.money import format_sol, format_usdc


class AlertName(StrEnum):
    USDC_LOW = "PlatformUsdcLow"
    SOL_LOW = "PlatformSolLow"
    BATCH_SHORT = "BatchWaitsForFunds"


@dataclass(frozen=True, slots=True)
class Funds:
    """USDC in base units, SOL in lamports; None is unread. `short` is what the batches that wait for funds lack."""

    usdc: int | None
    usdc_least: int
    sol: int | None
    sol_least: int
    short: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One alert as it stands. `text` is for a person, and holds figures only."""

    name: AlertName
    firing: bool
    text: str


def judge(funds: Funds) -> Sequence[Finding]:
    """What is known to be well or not. A balance that was not read is neither, so its alert stays as it was."""
    lack = f"batches that wait for funds lack {format_usdc(funds.short)} USDC"
    found = [Finding(AlertName.BATCH_SHORT, funds.short > 0, lack if funds.short else "no batch waits for funds")]
    if funds.usdc is not None:
        text = f"the platform wallet holds {format_usdc(funds.usdc)} USDC, least {format_usdc(funds.usdc_least)}"
        found.append(Finding(AlertName.USDC_LOW, funds.usdc < funds.usdc_least, text))
    if funds.sol is not None:
        text = f"the platform wallet holds {format_sol(funds.sol)} SOL, least {format_sol(funds.sol_least)}"
        found.append(Finding(AlertName.SOL_LOW, funds.sol < funds.sol_least, text))
    return found
