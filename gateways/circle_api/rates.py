"""Circle's request rates, kept on our side (reference/circle.md, section 1)."""

from dataclasses import dataclass
from enum import StrEnum

from gateways.pace import Pace
from ports.clock import Clock


class CallClass(StrEnum):
    """Calls that share one rate at Circle."""

    READ = "read"
    """Every GET."""
    WRITE = "write"
    """POSTs without a rate of their own: transfers, users, wallet sets."""
    WALLET = "wallet"
    """POST developer/wallets."""
    USER_TOKEN = "user_token"  # noqa: S105 (a name)
    SIGN = "sign"
    """POST developer/sign/*."""


class Lane(StrEnum):
    """Who asks for a signature. While mints wait, payouts leave them their share."""

    MINT = "mint"
    PAYOUT = "payout"


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests per second of this process; with several replicas each is given its share of Circle's documented rates.

    `sign_reserved_for_mints` of `sign` go to mints while both wait; whoever waits alone uses them all. 0 = no limit.
    """

    read: int = 20
    write: int = 5
    wallet: int = 10
    user_token: int = 10
    sign: int = 10
    sign_reserved_for_mints: int = 2

    @classmethod
    def fast(cls) -> "Rates":
        """For the sandbox at `--circle-limits fast`, which refuses nothing."""
        return cls(read=0, write=0, wallet=0, user_token=0, sign=0, sign_reserved_for_mints=0)


def build_paces(rates: Rates, clock: Clock) -> dict[CallClass, Pace]:
    return {
        CallClass.READ: Pace(clock, rates.read),
        CallClass.WRITE: Pace(clock, rates.write),
        CallClass.WALLET: Pace(clock, rates.wallet),
        CallClass.USER_TOKEN: Pace(clock, rates.user_token),
        CallClass.SIGN: Pace(clock, rates.sign, rates.sign_reserved_for_mints),
    }
