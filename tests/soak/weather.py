"""What goes wrong outside while daemons die: answers lost, late, refused and cut, webhooks doubled and dropped."""

from collections import Counter
from dataclasses import dataclass, field

from sandbox.faults import Fault, Faults, Rule
from sandbox.solana_node import Endpoint
from sandbox.world import SECOND_PROVIDER, World

FOR_EVER = 1 << 40
LATE_MS = 1_500
LAG_SLOTS = 10
OBSERVER = "/observer"
"""The path of an RPC provider without faults, for those who play and judge."""
KINDS: tuple[tuple[str, float, Rule], ...] = (
    ("requests lost", 0.01, Rule("", Fault.LOSE_REQUEST)),
    ("answers lost", 0.01, Rule("", Fault.LOSE_ANSWER)),
    ("answers late", 0.01, Rule("", Fault.LATE, delay_ms=LATE_MS)),
    ("429", 0.01, Rule("", Fault.STATUS, status=429, headers={"retry-after": "1"})),
    ("500", 0.005, Rule("", Fault.STATUS, status=500)),
    ("503", 0.005, Rule("", Fault.STATUS, status=503)),
    ("HTML", 0.005, Rule("", Fault.HTML)),
    ("bodies cut", 0.005, Rule("", Fault.CUT_BODY)),
)
"""Six requests of a hundred; the shares of each fault are of all requests that the ones before it left alone."""


@dataclass(slots=True)
class Weather:
    """`begin`, `end`; `struck` counts by kind afterwards."""

    world: World
    struck: Counter[str] = field(default_factory=Counter)
    _rules: list[tuple[str, Faults, Rule]] = field(default_factory=list)

    def begin(self) -> None:
        world = self.world
        world.node.endpoints[OBSERVER] = Endpoint()
        world.node.endpoints[SECOND_PROVIDER].lag_slots = LAG_SLOTS
        places = [(world.stripe.faults, "/v1/"), (world.circle.faults, "/v1/")]
        places += [(world.node.faults, f"POST {path} ") for path in ("/", SECOND_PROVIDER)]
        for faults, match in places:
            for kind, share, like in KINDS:
                rule = Rule(
                    *(match, like.fault, FOR_EVER, 0, share, like.delay_ms, like.status, like.body, like.headers)
                )
                self._rules.append((kind, faults, faults.add(rule)))
        world.stripe.controls.disturb_delivery(duplicates=0.3, shuffle_ms=2_000, drop=0.05)
        switches = world.circle.custody.switches
        switches.duplicate_notifications, switches.shuffle_notifications = FOR_EVER, True

    def end(self) -> None:
        """Everything is well again."""
        for kind, faults, rule in self._rules:
            self.struck[kind] += FOR_EVER - rule.times
            faults.rules.remove(rule)
        self._rules.clear()
        self.world.node.endpoints[SECOND_PROVIDER].lag_slots = 0
        self.world.stripe.controls.disturb_delivery(duplicates=0.0, shuffle_ms=0, drop=0.0)
        switches = self.world.circle.custody.switches
        switches.duplicate_notifications, switches.shuffle_notifications = 0, False
