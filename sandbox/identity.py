"""Names, keys and secrets of one sandbox world. The same seed gives the same world; none of them guards anything."""

import random
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Identity:
    """What a person would have copied out of Stripe's dashboard, Circle's console and a password store."""

    stripe_secret_key: str
    stripe_publishable_key: str
    stripe_webhook_secret: str
    circle_api_key: str
    circle_entity_secret: str
    derivation_secret: str
    admin_token: str
    invite_code: str
    circle_mint_api_key: str


def identity(seed: int) -> Identity:
    """Everything in the form the real services give it."""
    rng = random.Random(f"sandbox-world-{seed}")

    def word(size: int) -> str:
        return rng.randbytes(size).hex()

    return Identity(
        stripe_secret_key=f"sk_test_{word(24)}",
        stripe_publishable_key=f"pk_test_{word(24)}",
        stripe_webhook_secret=f"whsec_{word(16)}",
        circle_api_key=f"TEST_API_KEY:{word(16)}:{UUID(bytes=rng.randbytes(16), version=4).hex}",
        circle_entity_secret=word(32),
        derivation_secret=word(32),
        admin_token=f"admin-{word(20)}",
        invite_code=f"WELCOME-{word(4).upper()}",
        circle_mint_api_key=f"SAND_API_KEY:{word(16)}:{word(16)}",
    )
