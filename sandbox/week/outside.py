"""What people do at Stripe and Circle during the week, through the sandbox's controls."""

from typing import Any

from sandbox.week.access import Access
from sandbox.week.arithmetic import usdc_text
from sandbox.week.wire import Wire


class Outside:
    """The buyer's card, the operator's exchange, and Stripe's own record."""

    def __init__(self, wire: Wire, access: Access) -> None:
        self._wire = wire
        self._access = access

    async def pay(self, session_id: str) -> None:
        """The buyer pays on Stripe's page."""
        await self._wire.must("POST", f"{self._access.stripe_api}/_sandbox/sessions/{session_id}/pay", body={})

    async def payments(self) -> dict[str, dict[str, Any]]:
        """Stripe's record of every payment, by session id."""
        told = await self._wire.must("GET", f"{self._access.stripe_api}/_sandbox/ledger")
        return {payment["session"]: payment for payment in told["payments"]}

    async def convert(self, base_units: int) -> None:
        """The operator's exchange sends this much USDC to the platform wallet."""
        gift = {"walletId": self._access.platform_wallet_id, "usdc": usdc_text(base_units)}
        await self._wire.must("POST", f"{self._access.circle_api}/_sandbox/faucet", body=gift)
