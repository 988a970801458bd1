"""The adversary: draws from the seed what goes wrong and when, does it, and stops when it is told to."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog

from sandbox.faults import Fault, Rule
from simulator import mint_console
from simulator.backups import BACKUP, put_back
from simulator.keyring import Keyring
from simulator.life import Life
from simulator.process import Process
from simulator.scenario import WITH_DICE_OF_THEIR_OWN, FaultKind
from simulator.shortages import LAST_SECONDS
from simulator.stage import NEVER, Stage
from simulator.storms import FOR_EVER, Storms, give_sol
from simulator.strikes import Ended, Tally
from simulator.world import DATABASE

SPELLS_A_WEEK = 3
SHARE_AT_BUSY_TIMES = 0.8
"""What goes wrong while nothing happens finds nothing."""
LATEST_SECONDS = 40
"""After something begins to happen: what comes later meets nothing any more."""
AT_ONCE = frozenset({FaultKind.PAUSES, FaultKind.FORKS})
"""These strike in one moment; to begin before the busy time would be to miss it."""
STORM_SECONDS = (5, 30, 120, 600, 3_600)
DEATH_SPANS = (15, 60, 250, 1_000)
"""Points between two deaths, on average, of a world in which processes die."""
SKEW_SECONDS = (-3_600, -400, -30, 30, 400, 3_600, 20_000)
SHARE_OF_SKEWS_BY_DAYS = 0.3
SKEW_DAYS = (-8, -3, -1, 1, 3, 8)
"""Over a Monday, or two."""
LASTS_DAYS_SECONDS = (5, 600, 9_000, 50_000)
PAUSE_SECONDS = (5, 29, 31, 120, 4_000)
"""Below and above the life of a lease."""
PAUSED_AT = (None, "before call", "after call", "before commit", "after commit")
"""As soon as it does anything, or in the middle of a job: with a row, and maybe an answer, in its hands."""
DOWN_SECONDS = 10
"""So often it is looked whether a dead process is there again."""
FULL_PAGES = 1
FULL_LOOKS_SECONDS = 600
BACKUP_AGES = (600, 3_600, 20_000, 300_000)
"""Seconds between a backup and its return: minutes, hours, days in which money moved."""
SHARE_WHILE_MONEY_LEAVES = 0.75
"""Of the backups, so many are the last of many and return when money leaves of which they know nothing: a single one
lies around a batch hardly once in a week."""
SHARE_BEFORE_MONEY_LEAVES = 0.25
"""Of all backups, so many are made in the one moment in which a payout is frozen and its signature not known."""
BACKUPS_EVERY = (7_200, 14_400, 43_200)
RECONCILED_SECONDS = 60
OUTAGE_SECONDS = (50_000, 130_000, 300_000, 700_000)
"""Beyond Stripe's tries of three days, and over a Monday or two."""
SHARE_OFF_WHILE_MONEY_LEAVES = 0.5
"""Of the outages, so many begin when an order has just been taken: whether its answer has come or not."""
KEYS_KEPT_SECONDS = 86_400
SHARE_WITHOUT_ORDERS = 0.5
ORDERS = "POST /v1/w3s/developer/transactions/transfer"
AFTER_IT_BEGINS_SECONDS = (0, 0, 0, 3, 600)
"""Before anything of it is on the chain, in the middle of it, and when all of it is final."""
AFTER_IT_LANDED_SECONDS = (0, 1, 4, 9)
SHARE_BY_COMMAND = 0.5
PUTTING_BACK_SECONDS = (0, 0, 5)
"""By a script, and by hand."""


@dataclass(frozen=True, slots=True)
class _Day:
    """On which Circle takes no orders; at its end it forgets these keys."""

    until: float
    known: list[frozenset[tuple[str, str]]]
    refused: Rule


@dataclass(slots=True)
class Mischief:
    """`run` until cancelled, then `end`. `struck` counts by kind."""

    stage: Stage
    dice: random.Random
    kinds: frozenset[FaultKind]
    seed: int
    """Of dice that one purpose has alone: what they draw moves nothing of what the others draw."""
    struck: Counter[str] = field(default_factory=Counter)
    backup_dice: random.Random = field(init=False)
    _own: dict[FaultKind, random.Random] = field(default_factory=dict)
    _begun: list[tuple[FaultKind, Ended]] = field(default_factory=list)
    _keys: Keyring = field(init=False)
    _day: _Day | None = None
    _death_span: int = 0
    _end: float = 0.0

    def __post_init__(self) -> None:
        self.backup_dice = random.Random(f"backup {self.seed}")
        self._keys = Keyring(self.stage)

    def _own_dice(self, kind: FaultKind) -> random.Random:
        if kind not in self._own:
            self._own[kind] = random.Random(f"{kind} {self.seed}")
        return self._own[kind]

    async def run(self, seconds: float, busy: Sequence[float]) -> None:
        """Everything that these kinds do within so many seconds; mostly when something happens, at the `busy` times."""
        storms = Storms(self.stage, self.dice, self._own_dice)
        self._end = self.stage.clock.monotonic() + seconds
        self.stage.is_slow = bool(self.kinds)
        if FaultKind.DEATH in self.kinds:
            self._death_span = self.dice.choice(DEATH_SPANS)
        async with asyncio.TaskGroup() as group:
            for kind in sorted(self.kinds):
                for at, lasts in self._times(kind, seconds, busy):
                    group.create_task(self._spell(kind, storms, at, lasts))

    def _times(self, kind: FaultKind, seconds: float, busy: Sequence[float]) -> list[tuple[float, float]]:
        """When spells of one kind begin, and how long they last."""
        dice = self._own_dice(kind) if kind in WITH_DICE_OF_THEIR_OWN else self.dice
        found = []
        for _ in range(dice.randint(1, max(1, round(SPELLS_A_WEEK * seconds / 604_800)))):
            lasts = dice.choice(LAST_SECONDS.get(kind, STORM_SECONDS))
            at = dice.uniform(0, seconds)
            if busy and dice.random() < SHARE_AT_BUSY_TIMES:
                earliest = 0 if kind in AT_ONCE else -min(lasts, 600)
                at = dice.choice(busy) + dice.uniform(earliest, LATEST_SECONDS)
            at = min(max(0.0, at), seconds - 1)
            found.append((at, min(lasts, seconds - at)))
        return found

    async def end(self) -> None:
        """Everything is well again: the people who run the outside have mended it, which may take Circle a day, and
        those who run the daemons have given them the keys that are good."""
        self.stage.until_death, self.stage.is_slow = NEVER, False
        self.stage.let_up_for_good()
        begun, self._begun = self._begun, []
        for kind, ended in begun:
            self._undo(kind, ended)
        for process in self.stage.processes:
            process.clock.skew = timedelta(0)
            process.life.expect_nothing()
            process.life.go_on()
            if process.store is not None:
                process.store.inner.limit_pages(None)
        await self._keys.tell()
        if FaultKind.NO_SOL in self.kinds:
            give_sol(self.stage)  # once more: a fork may have taken back what came at a storm's end
        await self._pass_day()

    async def _spell(self, kind: FaultKind, storms: Storms, at: float, lasts: float) -> None:
        await self.stage.clock.sleep(at)
        own: dict[FaultKind, Callable[[float], Awaitable[None]]] = {
            FaultKind.FORKS: self._fork,
            FaultKind.CLOCK_JUMPS: self._jump,
            FaultKind.PAUSES: self._pause,
            FaultKind.DISK_FULL: self._fill_disk,
            FaultKind.OLD_BACKUP: self._restore,
            FaultKind.ROTATED_KEYS: self._rotate,
            FaultKind.DEATH: self._die,
            FaultKind.OUTAGES: self._switch_off,
            FaultKind.FORGOTTEN_KEYS: self._forget_keys,
            FaultKind.MINT_KEYS: self._lock_out_of_mint,
            FaultKind.BY_HAND: self._convert_by_hand,
        }
        if kind in own:
            await own[kind](lasts)
            return
        ended = storms.begin(kind)
        if ended is None:
            return
        self.stage.trace.tell("begins:", kind, "for", lasts)
        self._begun.append((kind, ended))
        await ended.met.wait()
        await self.stage.clock.sleep(lasts)
        if (kind, ended) in self._begun:
            self._begun.remove((kind, ended))
            self._undo(kind, ended)
            self.stage.trace.tell("ends:", kind)

    def _undo(self, kind: FaultKind, ended: Ended) -> None:
        self.struck[kind] += ended.struck()
        ended.undo()

    def _load_death(self) -> None:
        self.stage.until_death = 1 + int(self.dice.expovariate(1 / self._death_span))

    # --- one process ------------------------------------------------------------------------------------------

    async def _die(self, lasts: float) -> None:
        """For a while somebody dies again and again; at least once, however little is going on."""
        end, before = self.stage.clock.monotonic() + max(lasts, 600), self.stage.deaths
        while self.stage.clock.monotonic() < end or self.stage.deaths == before:
            if self.stage.until_death >= NEVER // 2:
                self._load_death()
            await self.stage.clock.sleep(10)
        self.stage.until_death = NEVER

    async def _jump(self, lasts: float) -> None:
        process = self.dice.choice(self.stage.processes)
        skew, dice = self.dice.choice(SKEW_SECONDS), self._own_dice(FaultKind.CLOCK_JUMPS)
        if dice.random() < SHARE_OF_SKEWS_BY_DAYS:
            skew, lasts = dice.choice(SKEW_DAYS) * 86_400, dice.choice(LASTS_DAYS_SECONDS)
        process.clock.skew = timedelta(seconds=skew)
        self.stage.trace.tell(process.name, "has a clock that is off by", skew)
        await self._at_next(process, None, _is_job)
        self.struck[FaultKind.CLOCK_JUMPS] += 1
        await self.stage.clock.sleep(lasts)
        process.clock.skew = timedelta(0)

    async def _pause(self, _: float) -> None:
        process, seconds = self.dice.choice(self.stage.processes), self.dice.choice(PAUSE_SECONDS)
        where = self.dice.choice(PAUSED_AT)
        await self._at_next(process, where, _is_anything if where is None else _is_job, Life.stand_still)
        life = process.life
        self.struck[FaultKind.PAUSES] += 1
        self.stage.trace.tell(process.name, "is stopped for", seconds)
        await self.stage.clock.sleep(seconds)
        life.go_on()

    async def _at_next(
        self,
        process: Process,
        where: str | None,
        holds: Callable[[], bool],
        do: Callable[[Life], None] = lambda life: None,
    ) -> None:
        """Do that at the next point of that name of this process, in whatever life it has then."""
        while True:
            life = process.life
            if await life.at_next(where, holds, partial(do, life)):
                return
            await self.stage.clock.sleep(DOWN_SECONDS)

    async def _switch_off(self, _: float) -> None:
        """Once in a world, and all processes together: the machine is off, or nobody pays its bill."""
        stage, dice = self.stage, self.dice
        if self.struck[FaultKind.OUTAGES]:
            return
        self.struck[FaultKind.OUTAGES] += 1
        if dice.random() < SHARE_OFF_WHILE_MONEY_LEAVES:
            stage.money_leaves.clear()
            await stage.money_leaves.wait()
        seconds = dice.choice(OUTAGE_SECONDS)
        stage.trace.tell("nobody is there for", seconds)
        stage.keep_down()
        for process in stage.processes:
            await stage.kill(process)
        await stage.clock.sleep(seconds)
        stage.let_up()

    async def _fill_disk(self, lasts: float) -> None:
        """From before the first transaction that needs room. A process that starts anew finds it full as well."""
        clock, refused = self.stage.clock, Tally()
        self.stage.trace.tell("the disk is full for", lasts)
        while not refused.met.is_set():
            self._limit(FULL_PAGES, refused.note)
            with suppress(TimeoutError):
                async with asyncio.timeout(FULL_LOOKS_SECONDS):
                    await refused.met.wait()
        self.struck[FaultKind.DISK_FULL] += 1
        end = clock.monotonic() + min(lasts, 7_200)
        while clock.monotonic() < end:
            self._limit(FULL_PAGES, refused.note)
            await clock.sleep(20)
        self._limit(None, _nothing)

    def _limit(self, pages: int | None, refused: Callable[[], None]) -> None:
        for process in self.stage.processes:
            if process.store is not None:
                process.store.refused = refused
                process.store.inner.limit_pages(pages)

    # --- the outside ------------------------------------------------------------------------------------------

    async def _fork(self, _: float) -> None:
        """Soon after something has landed: the newest slots hold nothing at nearly any other time."""
        landed, node = asyncio.Event(), self.stage.node
        hear: Callable[[object], None] = lambda _: landed.set()  # noqa: E731
        node.on_transaction.append(hear)
        await landed.wait()
        node.on_transaction.remove(hear)
        await self.stage.clock.sleep(self.dice.choice(AFTER_IT_LANDED_SECONDS))
        depth = self.dice.randint(1, 31)
        again = self.dice.choice((None, 2, 200))
        dropped = node.fork(depth, reland_after_slots=again)
        self.struck[FaultKind.FORKS] += bool(dropped)
        self.stage.trace.tell("a fork of", depth, "slots drops", len(dropped), "transactions")

    async def _restore(self, _: float) -> None:
        """A backup is made now; later, when much has happened, it is put back."""
        stage = self.stage
        backup = stage.folder / BACKUP
        if backup.exists():
            return
        stage.checker.db.copy_to(backup)
        stage.trace.tell("a backup is made")
        latest = self._end - 60
        age = max(1.0, min(latest - stage.clock.monotonic(), self.dice.choice(BACKUP_AGES)))
        if self._own_dice(FaultKind.OLD_BACKUP).random() < SHARE_BEFORE_MONEY_LEAVES:
            await self._back_up_before_money_leaves(backup, latest)
        elif self.backup_dice.random() < SHARE_WHILE_MONEY_LEAVES:
            await self._back_up_until_money_leaves(backup, latest)
        else:
            await stage.clock.sleep(age)
        stage.keep_down()
        for process in stage.processes:
            await stage.kill(process)
        await stage.clock.sleep(self.backup_dice.choice(PUTTING_BACK_SECONDS))
        stage.checker.db.close()
        by_command = self._own_dice(FaultKind.OLD_BACKUP).random() < SHARE_BY_COMMAND
        put_back(stage.folder, DATABASE, stage.clock.now(), by_command=by_command)
        stage.records.restore()
        self.struck[FaultKind.OLD_BACKUP] += 1
        stage.trace.tell("the backup is put back", "by the command" if by_command else "as a file")
        stage.let_up()

    async def _back_up_before_money_leaves(self, backup: Path, latest: float) -> None:
        """Just before an order or a packed payout goes out: its rows are there, and nothing of what became of it. It
        returns when money has left, or at `latest`."""
        stage, dice = self.stage, self._own_dice(FaultKind.OLD_BACKUP)
        stage.money_leaves.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(latest - stage.clock.monotonic()):
                process = dice.choice(stage.processes)
                await self._at_next(process, "before call", _sends, lambda life: stage.checker.db.copy_to(backup))
                stage.trace.tell("a backup is made before money leaves")
                await stage.money_leaves.wait()
                await stage.clock.sleep(dice.choice(AFTER_IT_BEGINS_SECONDS))

    async def _back_up_until_money_leaves(self, backup: Path, latest: float) -> None:
        """For the first time after the last backup, and a little longer; or until `latest`. The books are reconciled
        before each, as they are daily in life: what that looks for after a start is not to hide what a start does."""
        stage, dice = self.stage, self.backup_dice
        every, more = dice.choice(BACKUPS_EVERY), dice.choice(AFTER_IT_BEGINS_SECONDS)
        stage.money_leaves.clear()
        while not stage.money_leaves.is_set() and stage.clock.monotonic() < latest:
            await stage.operator("POST", "/admin/api/reconciliations")
            with suppress(TimeoutError):
                async with asyncio.timeout(min(RECONCILED_SECONDS, latest - stage.clock.monotonic())):
                    await stage.money_leaves.wait()
            if not stage.money_leaves.is_set():
                stage.checker.db.copy_to(backup)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(every, latest - stage.clock.monotonic())):
                    await stage.money_leaves.wait()
        await stage.clock.sleep(max(0.0, min(latest - stage.clock.monotonic(), more)))

    async def _forget_keys(self, _: float) -> None:
        """Those of now, a day later. On some of these days Circle takes no orders, from one on that it has taken and
        whose answer is lost: whoever asks again reaches it when it has forgotten."""
        circle, clock = self.stage.circle, self.stage.clock
        if self._own_dice(FaultKind.FORGOTTEN_KEYS).random() >= SHARE_WITHOUT_ORDERS or self._has_day():
            known = self._remembered()
            await clock.sleep(KEYS_KEPT_SECONDS)
            self._forget(known)
            return
        lost = asyncio.Event()
        losing = circle.faults.add(Rule(ORDERS, Fault.LOSE_ANSWER, strikes=lost.set))
        begun = FaultKind.FORGOTTEN_KEYS, Ended(lambda: circle.faults.rules.remove(losing), lambda: 0)
        self._begun.append(begun)
        await lost.wait()
        self._begun.remove(begun)
        begun[1].undo()
        if self._has_day():
            return  # another one has begun meanwhile
        refused = circle.faults.add(Rule(ORDERS, Fault.STATUS, FOR_EVER, status=503))
        self._day = _Day(clock.monotonic() + KEYS_KEPT_SECONDS, self._remembered(), refused)
        self.stage.trace.tell("Circle has taken an order of which it has not told, and takes no more")
        await self._pass_day()

    def _has_day(self) -> bool:
        return self._day is not None

    async def _pass_day(self) -> None:
        day, clock = self._day, self.stage.clock
        if day is not None:
            await clock.sleep(max(0.0, day.until - clock.monotonic()))
            self._forget(day.known)
            self.stage.circle.faults.rules.remove(day.refused)
            self.struck[FaultKind.FORGOTTEN_KEYS] += 1
            self._day = None

    def _remembered(self) -> list[frozenset[tuple[str, str]]]:
        return [replays.remembered() for replays in self.stage.replays]

    def _forget(self, known: list[frozenset[tuple[str, str]]]) -> None:
        forgotten = sum(replays.forget(keys) for replays, keys in zip(self.stage.replays, known, strict=True))
        self.stage.trace.tell("Circle forgets", forgotten, "keys")

    async def _rotate(self, _: float) -> None:
        """Webhook secret and Circle key are replaced; some time later the daemons are told and restarted."""
        self.struck[FaultKind.ROTATED_KEYS] += 1
        self._keys.rotate(self.struck[FaultKind.ROTATED_KEYS], self.dice)
        await self.stage.clock.sleep(self.dice.choice((1, 600, 20_000)))
        await self._keys.tell()

    async def _lock_out_of_mint(self, _: float) -> None:
        """In the middle of a conversion: 401 until the daemons are told the new key, 403 until the rights are back."""
        stage, dice = self.stage, self._own_dice(FaultKind.MINT_KEYS)
        if not stage.settings.converts:
            return
        holds = dice.choice((mint_console.converts, mint_console.MintConsole(stage).is_ordering))
        await self._at_next(dice.choice(stage.processes), dice.choice(("before call", "after call")), holds)
        seconds = dice.choice(mint_console.LOCKED_OUT_SECONDS)
        self.struck[FaultKind.MINT_KEYS] += 1
        if dice.random() < mint_console.SHARE_WITHOUT_RIGHTS:
            with mint_console.MintConsole(stage).without_rights():
                await stage.clock.sleep(seconds)
            return
        self._keys.replace_at_mint(dice)
        await stage.clock.sleep(seconds)
        await self._keys.tell()

    async def _convert_by_hand(self, _: float) -> None:
        """At any time, or in the middle of a conversion."""
        stage, dice = self.stage, self._own_dice(FaultKind.BY_HAND)
        if not stage.settings.converts:
            return
        if dice.random() < mint_console.SHARE_WHILE_CONVERTING:
            await self._at_next(
                dice.choice(stage.processes), dice.choice((None, "before call", "after call")), mint_console.converts
            )
        await mint_console.MintConsole(stage).transfer(dice)
        self.struck[FaultKind.BY_HAND] += 1


def _nothing() -> None:
    """Is done."""


def _is_anything() -> bool:
    return True


def _is_job() -> bool:
    """Whether a worker runs a job here, by what it binds for its log lines: most points are passed by requests and by
    what follows the chain, and whoever stands still there holds nothing that another could take over."""
    return "job" in structlog.contextvars.get_contextvars()


def _sends() -> bool:
    return str(structlog.contextvars.get_contextvars().get("job")).startswith(("transfer:", "packed_sign:"))
