"""Keys and secrets of the services, and what of them the daemons are told."""

import random

from config.settings import load_settings
from simulator.stage import Stage


class Keyring:
    """What is replaced is good at once, and told to the daemons later, who are started again with it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._settings: dict[str, str] = {}
        self._untold: dict[str, str] = {}

    def rotate(self, number: int, dice: random.Random) -> None:
        """The webhook secret and Circle's key; those before are good for a while, or no more."""
        stage = self._stage
        secret, key = f"whsec_virtual{number}", f"TEST_API_KEY:id{number}:secret"
        before = stage.settings.webhook_secrets
        stage.stripe.controls.roll_secret(stage.outside.webhook_id, dice.choice((0, 86_400_000)), secret)
        entity = stage.circle.custody.entity
        entity.api_keys = frozenset({*entity.api_keys, key})
        stage.trace.tell("keys are rotated")
        if dice.random() < 0.5:
            entity.api_keys = frozenset({key})
        self._untold |= {"STRIPE_WEBHOOK_SECRET": ",".join({secret: 0, before[0]: 0}), "CIRCLE_W3S_API_KEY": key}

    def replace_at_mint(self, dice: random.Random) -> None:
        """Circle Mint's; the one before is refused from now on."""
        stage, key = self._stage, f"SAND_API_KEY:id:{dice.randbytes(16).hex()}"
        stage.records.secrets.add(key)
        stage.outside.mint.api_keys = frozenset({key})
        stage.trace.tell("the key of Circle Mint is replaced")
        self._untold["AGENT_CIRCLE_MINT_API_KEY"] = key

    async def tell(self) -> None:
        if not self._untold:
            return
        stage, told = self._stage, self._untold
        self._settings |= told
        self._untold = {}
        stage.settings = load_settings({**stage.environment, **self._settings})
        for process in stage.processes:
            process.settings = stage.settings
            await stage.kill(process)
        if "CIRCLE_W3S_API_KEY" in told:
            stage.circle.custody.entity.api_keys = frozenset({told["CIRCLE_W3S_API_KEY"]})
        stage.trace.tell("the daemons know the new keys")
