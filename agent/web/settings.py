"""What the web room is told at its start, as plain values: assembly makes them from the settings."""

from dataclasses import dataclass, field
from datetime import timedelta

from agent.web.conversion_rules import ConversionRules
from agent.web.passwords import PasswordCost
from agent.web.payout_way import PayoutWay
from agent.web.rates import Rate
from domain.split import SplitRule


@dataclass(frozen=True, slots=True)
class CardFee:
    """Stripe's price list, for the warning of content whose share can't carry its costs; real fees come from Stripe."""

    bps: int = 290
    fixed_cents: int = 30


@dataclass(frozen=True, slots=True)
class WebSettings:
    """`public_base_url` is where buyers and Stripe reach us, without a slash at its end. `stripe_account` is our
    account's id: events that name another are refused. Our own events name none, so it may stay unknown. Below
    `least_usdc` (base units) and `least_lamports` the platform wallet is low."""

    public_base_url: str
    livemode: bool
    stripe_account: str | None = None
    token_lifetime: timedelta = timedelta(days=30)
    checkout_lifetime: timedelta = timedelta(hours=1)
    split: SplitRule = field(default_factory=SplitRule)
    card_fee: CardFee = field(default_factory=CardFee)
    nft_symbol: str = "RBLK"
    network_cost_cents: int = 100
    refuse_unprofitable: bool = False
    teaser_hosts: tuple[str, ...] = ("res.cloudinary.com",)
    password_cost: PasswordCost = field(default_factory=PasswordCost)
    password_least_chars: int = 8
    admin_hosts: tuple[str, ...] = ()
    rate: Rate = field(default_factory=lambda: Rate(burst=300, per_second=50.0))
    mint_wait: timedelta = timedelta(days=14)
    least_usdc: int = 500_000_000
    least_lamports: int = 500_000_000
    open_metrics: bool = False
    user_wallets: str = "user"
    usdc_token_id: str = ""
    circle_pin_url: str = "https://pw-auth.circle.com"
    admin_url: str = "http://127.0.0.1:8081"
    console_hours: int = 8
    conversion: ConversionRules = field(default_factory=ConversionRules)
    payouts: PayoutWay = field(default_factory=PayoutWay)
