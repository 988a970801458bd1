"""One world, from its first Monday to the last, and what the checker says of it."""

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ports.virtual import VirtualLoop
from simulator import setups
from simulator.complaints import Complaints
from simulator.creators import Creators
from simulator.latecomers import COME_BEFORE_SECONDS, Latecomers
from simulator.life import Killed
from simulator.listening import listening
from simulator.mint_desk import MintDesk
from simulator.mischief import Mischief
from simulator.operator import Operator
from simulator.own_wallets import OwnWallets
from simulator.people import Cast
from simulator.scenario import FEW_FAULTS, WITH_DICE_OF_THEIR_OWN, FaultKind, Scenario
from simulator.stage import Stage
from simulator.whims import DOLLARS_CENTS, Whims
from simulator.world import DATABASE
from storage.engines import engine_library

WEEK_SECONDS = 604_800
BEFORE_MONDAY_SECONDS = WEEK_SECONDS - 3_600
"""The world begins at 10:00 on a Monday; an hour before the next one's 09:00 is 23 hours less an hour later."""
BURST = 8
"""Purchases that come together: a work is shown somewhere, and people come."""
RUSHES = 0.5
"""Share of weeks in which many want the same work at once."""
MOVES, FREEZES = 0.3, 0.3
"""Share of weeks in which a creator names another address, or has his account frozen."""
LATEST_WISH_SECONDS = 40
AFTER_MONDAY_SECONDS = 2_900
REGRET_SOON_SECONDS = (30, 600, 4_000)
"""Where Stripe may leave refunds pending, more people want their money back."""
STRANGERS = 2
PLANS_MOST = 2
AFTER_A_PLAN_SECONDS = (60, 900, 7_200)
"""When a debt may be met by the sale that follows it."""
QUIET_POINTS = 5
"""Looks of the checker in a week, beside the one at the end."""
BUSY_POINTS_SECONDS = (5, 15, 30, 60, 120, 300, 900, 3_600)
"""And after something begins to happen: what is said too early is true a little later."""
SHARES = {
    FaultKind.OLD_BACKUP: 0.15,
    FaultKind.TWO_WORKERS: 0.35,
    FaultKind.OUTAGES: 0.15,
    FaultKind.NO_SOL: 0.25,
    FaultKind.LATE_FEES: 0.25,
    FaultKind.FULL_BLOCKS: 0.25,
    FaultKind.PRUNED_NODES: 0.25,
}
"""Of kinds that hide others: after an old backup some sales wait for a person, and are judged less strictly; where
nobody is there, or nothing can be paid, little happens."""
DRAIN_SECONDS = 84 * 3_600
"""Longer than the rarest of the slowed nudges takes to come."""
ROUND_SECONDS = 3_600
LONGEST_ROUND_SECONDS = 24 * 3_600
"""People look again after an hour, then after two, and so on: what has not come to rest by then is rarely served by
another look, and a look costs more than a day in which nothing happens."""
UNTOUCHED_SECONDS = 30 * 3_600
"""Before the last word nobody does anything, for longer than from one look at the treasury to the next: what the last
round has moved is booked by then."""
SHARE_OF_FAULTS = 0.5
"""Of the kinds that are allowed, so many are at work in one world: with all of them at once, little would happen."""


@dataclass(slots=True)
class Outcome:
    """What became of one world. `story` is the plot, and the last of the traffic, for whoever looks into a failure."""

    scenario: Scenario
    trace_hash: str
    purchases: int
    faults: Counter[str]
    crash_points: int
    deaths: int
    violations: list[str]
    seconds: float
    story: list[str] = field(default_factory=list)
    traffic: list[str] = field(default_factory=list)


def simulate(
    scenario: Scenario, listener: Callable[[str], None] | None = None, keep_database: Path | None = None
) -> Outcome:
    """Run one world on a loop of its own; everything of it is gone afterwards but the outcome, and the database if a
    place to keep it is given. `listener` hears every line of the trace. Raises LibraryUnfit."""
    engine_library.check()  # else no daemon ever starts, and the world waits for one
    with tempfile.TemporaryDirectory(prefix="simulated-") as folder:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            world = _World(scenario, Path(folder), listener)
            outcome = runner.run(world.run())
        if keep_database is not None:
            shutil.copy(Path(folder) / DATABASE, keep_database)
        return outcome


@dataclass(slots=True)
class _Plot:
    """What people do in one week, by seconds since its begin, and when most of it happens."""

    deeds: list[tuple[float, Callable[[], Coroutine[None, None, None]]]] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    def add(self, at: float, do: Callable[[], Coroutine[None, None, None]]) -> None:
        self.deeds.append((at, do))


class _World:
    def __init__(self, scenario: Scenario, folder: Path, listener: Callable[[str], None] | None) -> None:
        self._scenario, self._folder, self._listener = scenario, folder, listener
        self._dice = random.Random(scenario.seed)
        allowed = sorted(scenario.faults - WITH_DICE_OF_THEIR_OWN)
        self._kinds = frozenset(
            kind
            for kind in allowed
            if self._dice.random() < SHARES.get(kind, SHARE_OF_FAULTS) or len(scenario.faults) <= FEW_FAULTS
        ) | frozenset(kind for kind in scenario.faults & WITH_DICE_OF_THEIR_OWN if self._is_chosen(kind))
        self._mints_pay = False
        self._whims = random.Random(f"whims of {scenario.seed}")
        self._latecomers: Latecomers | None = None
        self._complaints: Complaints | None = None
        self._askers = random.Random(f"askers of {scenario.seed}")

    def _is_chosen(self, kind: FaultKind) -> bool:
        chance = random.Random(f"whether {kind} in {self._scenario.seed}").random()
        return chance < SHARES.get(kind, SHARE_OF_FAULTS) or len(self._scenario.faults) <= FEW_FAULTS

    async def run(self) -> Outcome:
        began = time.perf_counter()
        asyncio.get_running_loop().set_exception_handler(_mourn)
        names = ("one", "two") if FaultKind.TWO_WORKERS in self._kinds else ("one",)
        settings = setups.drawn(self._scenario, self._dice, len(names))
        self._mints_pay = settings.get("AGENT_ATOMIC_SETTLEMENT") == "true"
        stage = Stage(self._folder, self._dice.getrandbits(32), names, settings)
        stage.trace = type(stage.trace)(stage.clock.now_ms, self._listener)
        stage.commits_left = self._scenario.weeks * self._scenario.commits_most
        dice = random.Random(self._dice.getrandbits(64))
        mischief = Mischief(stage, dice, self._kinds, self._scenario.seed)
        cast = Cast(stage, random.Random(self._dice.getrandbits(64)))
        self._creators = Creators(cast)
        if FaultKind.LATE_BUYERS in self._kinds:
            self._latecomers = Latecomers(cast, random.Random(f"latecomers of {self._scenario.seed}"))
        if FaultKind.PREVENTED_DISPUTES in self._kinds:
            self._complaints = Complaints(cast, random.Random(f"complaints of {self._scenario.seed}"))
        with listening(stage.findings.add, stage.scrutiny.tells):
            try:
                await self._play_until_broken(stage, cast, mischief)
            finally:
                await stage.close()
        faults = mischief.struck
        faults[FaultKind.DEATH] = stage.deaths if FaultKind.DEATH in self._kinds else 0
        faults[FaultKind.LATE_BUYERS] = self._latecomers.paid if self._latecomers is not None else 0
        faults[FaultKind.PREVENTED_DISPUTES] = self._complaints.given_back if self._complaints is not None else 0
        faults[FaultKind.FORGOTTEN_KEYS] += sum(replays.taken_for_new for replays in stage.replays)
        violations = stage.findings.told()
        return Outcome(
            self._scenario,
            stage.trace.hash,
            cast.paid,
            +faults,
            stage.crash_points,
            stage.deaths,
            violations,
            time.perf_counter() - began,
            stage.trace.told,
            list(stage.trace.lines)[-200:] if violations else [],
        )

    # --- the plot ---------------------------------------------------------------------------------------------

    async def _play_until_broken(self, stage: Stage, cast: Cast, mischief: Mischief) -> None:
        """To the end, or to the first violation."""
        play = asyncio.create_task(self._play(stage, cast, mischief))
        broken = asyncio.create_task(stage.findings.first())
        await asyncio.wait((play, broken), return_when=asyncio.FIRST_COMPLETED)
        broken.cancel()
        if not play.done():
            play.cancel()
            await asyncio.wait((play,))
        if not play.cancelled():
            await play

    async def _play(self, stage: Stage, cast: Cast, mischief: Mischief) -> None:
        await stage.open()
        count = self._scenario.purchases
        own = OwnWallets(random.Random(f"wallets of {self._scenario.seed}"))
        await cast.gather(max(2, min(5, count // 8)), max(2, min(12, count // 3)), own.bring_over)
        stage.subscribe()
        operator = Operator(cast)
        await operator.arrive()
        if stage.settings.converts:
            cast.fund = MintDesk(cast, operator, random.Random(f"treasurer of {self._scenario.seed}")).fund
        whims = Whims(cast, operator, self._whims, random.Random(f"settling of {self._scenario.seed}"))
        plots = [self._deeds(cast, operator, whims) for _ in range(self._scenario.weeks)]
        for plot in plots:
            self._moves(plot, cast, own)
        busy = [week * WEEK_SECONDS + at for week, plot in enumerate(plots) for at in plot.busy]
        async with asyncio.TaskGroup() as group:
            trouble = group.create_task(mischief.run(WEEK_SECONDS * self._scenario.weeks, busy))
            for week, plot in enumerate(plots):
                stage.trace.tell("week", week + 1)
                await self._week(stage, plot)
            trouble.cancel()
        await mischief.end()
        stage.trace.tell("all is well again")
        if self._scenario.operators:
            await whims.end()
        await self._drain(stage, cast, operator)

    async def _week(self, stage: Stage, plot: "_Plot") -> None:
        begin = stage.clock.monotonic()
        async with asyncio.TaskGroup() as group:
            for at, do in sorted(plot.deeds, key=lambda deed: deed[0]):
                await stage.clock.sleep(max(0.0, begin + at - stage.clock.monotonic()))
                group.create_task(do())
            await stage.clock.sleep(max(0.0, begin + WEEK_SECONDS - stage.clock.monotonic()))

    def _deeds(self, cast: Cast, operator: Operator, whims: Whims) -> "_Plot":
        """Sales all week, money for Monday, and looks of the checker in between."""
        dice, count = self._dice, self._scenario.purchases
        plot = _Plot()
        starts = [dice.uniform(60, BEFORE_MONDAY_SECONDS - 3_600) for _ in range(max(1, -(-count // BURST)))]
        plot.busy += [*starts, WEEK_SECONDS - 3_600]
        for number in range(count):
            plot.add(starts[number % len(starts)] + dice.uniform(0, 60), cast.buy)
        if dice.random() < RUSHES:
            plot.add(dice.choice(starts), cast.rush)
        if self._mints_pay:
            for _ in range(max(2, count // 2)):
                plot.add(dice.uniform(3_600, BEFORE_MONDAY_SECONDS), cast.newcomer)
        self._regrets(plot, cast)
        for _ in range(STRANGERS):
            plot.add(dice.uniform(0, BEFORE_MONDAY_SECONDS), cast.pester)
        self._deposits(plot, cast)
        if self._scenario.operators:
            for number in range(7):
                plot.add(number * 86_400 + dice.uniform(0, 80_000), operator.round)
            for _ in range(dice.randint(0, PLANS_MOST)):
                self._plan(plot, cast, operator)
            for at in self._moments(plot):
                plot.add(at, whims.act)
        self._meetings(plot, cast, whims)
        self._looks(plot, cast)
        return plot

    def _meetings(self, plot: "_Plot", cast: Cast, whims: Whims) -> None:
        """What people do so that what goes wrong meets somebody."""
        if self._latecomers is not None:
            plot.add(BEFORE_MONDAY_SECONDS - COME_BEFORE_SECONDS, self._latecomers.come)
        if FaultKind.LOST_COMMITS in self._kinds:
            self._wishes(plot, cast, whims)
        if FaultKind.PENDING_REFUNDS in self._kinds:
            for at in plot.busy:
                plot.add(at + self._askers.choice(REGRET_SOON_SECONDS), cast.refund)
        if self._complaints is not None:
            for at in plot.busy:
                plot.add(self._complaints.at(at, BEFORE_MONDAY_SECONDS + AFTER_MONDAY_SECONDS), self._complaints.make)

    def _wishes(self, plot: "_Plot", cast: Cast, whims: Whims) -> None:
        """Where an answer may be lost though it was done, people ask for what could be done twice."""
        for at in plot.busy:
            plot.add(at + self._askers.uniform(0, LATEST_WISH_SECONDS), partial(cast.publish, self._askers))
            if self._scenario.operators:
                cents = self._askers.choice(DOLLARS_CENTS)
                plot.add(at + self._askers.uniform(0, LATEST_WISH_SECONDS), partial(whims.announce, cents))

    def _moves(self, plot: "_Plot", cast: Cast, own: OwnWallets) -> None:
        """An account that is frozen is nothing to wait for: somebody has to pay again."""
        dice = self._whims
        if dice.random() < MOVES:
            plot.add(dice.choice(plot.busy), partial(own.move, cast))
        if self._scenario.operators and dice.random() < FREEZES:
            plot.add(dice.choice(plot.busy) - dice.choice((5, 60)), partial(own.freeze, cast))

    def _moments(self, plot: "_Plot") -> list[float]:
        """When operators do what nobody asked for: mostly when something happens."""
        dice = self._whims
        busy = [dice.choice(plot.busy) + dice.choice((5, 60, 900)) * dice.random() for _ in range(dice.randint(0, 3))]
        return [min(at, WEEK_SECONDS - 700) for at in (*busy, dice.uniform(60, BEFORE_MONDAY_SECONDS))]

    def _regrets(self, plot: "_Plot", cast: Cast) -> None:
        dice, count = self._dice, self._scenario.purchases
        for _ in range(dice.randint(1, max(2, count // 5))):
            plot.add(dice.choice(plot.busy) + dice.choice((10, 200, 20_000)) * dice.random(), cast.refund)
        for _ in range(dice.randint(0, max(2, count // 10))):
            plot.add(dice.uniform(3_600, BEFORE_MONDAY_SECONDS), cast.dispute)

    def _looks(self, plot: "_Plot", cast: Cast) -> None:
        for number in range(1, QUIET_POINTS + 1):
            plot.add(number * WEEK_SECONDS / (QUIET_POINTS + 1), self._look(cast))
        for at in plot.busy:
            for later in BUSY_POINTS_SECONDS:
                plot.add(min(at + later, WEEK_SECONDS - 1), self._look(cast))

    def _deposits(self, plot: "_Plot", cast: Cast) -> None:
        """Money comes in parts, and what it covers is looked at before the next part hides it. What waited for it is
        sent then."""
        dice = self._dice
        early = dice.uniform(3_600, BEFORE_MONDAY_SECONDS)
        late = WEEK_SECONDS - dice.uniform(60, 4_000)
        for at, part in ((early, dice.choice((0.3, 0.6, 1.0))), (late, dice.choice((0.5, 1.0)))):
            plot.add(at, partial(cast.top_up, part))
            plot.add(at + 40, self._look(cast))
            plot.busy.append(at)

    def _plan(self, plot: "_Plot", cast: Cast, operator: Operator) -> None:
        """A batch beside the Mondays, with the money for it; some time after it somebody wants something else for his
        money."""
        dice = self._dice
        at = dice.choice((dice.choice(plot.busy) + dice.choice((60, 600, 3_000)), dice.uniform(3_600, WEEK_SECONDS)))
        at = min(at, BEFORE_MONDAY_SECONDS)
        plot.busy.append(at)
        plot.add(at, operator.plan)
        if dice.random() < 0.5:
            plot.add(at - 30, cast.top_up)
        if dice.random() < 0.5:
            plot.add(min(at + dice.choice(AFTER_A_PLAN_SECONDS), WEEK_SECONDS - 700), cast.exchange)

    def _look(self, cast: Cast) -> Callable[[], Coroutine[None, None, None]]:
        async def look() -> None:
            checker, now_us = cast.stage.checker, cast.stage.clock.now_ms() * 1_000
            self._tell(
                cast.stage, checker.always(now_us) if self._kinds else checker.undisturbed(now_us, cast.explained)
            )
            if not self._kinds:  # else whether somebody looks would change what goes wrong
                self._tell(cast.stage, await self._creators.glance())

        return look

    async def _drain(self, stage: Stage, cast: Cast, operator: Operator) -> None:
        """Until everything is at rest, or the patience of the checker ends."""
        end = stage.clock.monotonic() + DRAIN_SECONDS
        pause = ROUND_SECONDS
        while stage.clock.monotonic() < end:
            await cast.top_up()
            if self._scenario.operators:
                await operator.round()
                await operator.plan()
            await stage.clock.sleep(pause)
            pause = min(2 * pause, LONGEST_ROUND_SECONDS)
            if not self._judge(stage, cast):
                self._tell(stage, await self._creators.look_closely())
                return
        if self._scenario.operators:  # what was planned last may wait for approvals
            await operator.round()
        await stage.clock.sleep(UNTOUCHED_SECONDS)
        self._tell(stage, self._judge(stage, cast))

    def _tell(self, stage: Stage, found: list[str]) -> None:
        if found:
            stage.trace.tell("the checker finds", *found)
            stage.findings.extend(found)

    def _judge(self, stage: Stage, cast: Cast) -> list[str]:
        checker, accepted = stage.checker, cast.explained
        if self._scenario.operators and not stage.records.restored:
            return checker.all_served(stage.clock.now_ms() * 1_000, accepted)
        return checker.at_rest(accepted)


def _mourn(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A task that died with its process has nobody left to look at it."""
    if not isinstance(context.get("exception"), Killed):
        loop.default_exception_handler(context)
