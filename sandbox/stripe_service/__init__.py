"""The sandbox's Stripe: Checkout, payments, fees that appear later, signed webhooks with retries, refunds, disputes.

`StripeService` is the state machine, `StripeService.controls` what tests and players do to it. Facts about the real
Stripe that it imitates are cited where they are used; API version 2026-10-28.endive.
"""

from sandbox.stripe_service.controls import Controls
from sandbox.stripe_service.errors import ApiError
from sandbox.stripe_service.service import StripeService
from sandbox.stripe_service.timing import FAST, REALISTIC, Timing
from sandbox.stripe_service.webhooks import Switches, signature_header

__all__ = ["FAST", "REALISTIC", "ApiError", "Controls", "StripeService", "Switches", "Timing", "signature_header"]
