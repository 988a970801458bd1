"""`sandbox.json`, read by somebody outside."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Access:
    """Addresses and keys of one sandbox world and of the daemon beside it."""

    stripe_api: str
    stripe_secret_key: str = field(repr=False)
    stripe_webhook_secret: str = field(repr=False)
    circle_api: str
    circle_api_key: str = field(repr=False)
    circle_entity_secret: str = field(repr=False)
    circle_mint_api: str
    circle_mint_api_key: str = field(repr=False)
    platform_wallet_id: str
    platform_wallet_address: str
    solana_rpc: str
    solana_ws: str
    usdc_mint: str
    agent_url: str
    admin_url: str
    admin_token: str = field(repr=False)
    invite_code: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OSError, ValueError or TypeError for a file that is missing or another."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))
