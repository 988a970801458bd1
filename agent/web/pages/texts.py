"""How pages say things: moments, amounts, addresses, states."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from agent.web.messages import WebRequest
from domain.money import format_cents, format_decimal, format_sol, format_usdc

GOOD, WAIT, BAD, INFO, IDLE = "good", "wait", "bad", "info", "idle"
TONES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "completed",
            "distributed",
            "settled",
            "finalized",
            "ready",
            "owned",
            "succeeded",
            "netted",
            "done",
            "complete",
        ),
        GOOD,
    ),
    **dict.fromkeys(
        ("pending_conversion", "waiting_funds", "waiting_approval", "on_hold", "challenge", "queued"), WAIT
    ),
    **dict.fromkeys(("waiting_for_wallet", "pending", "due", "proposed", "approved"), WAIT),
    **dict.fromkeys(("done", "complete"), GOOD),
    "arriving": INFO,
    **dict.fromkeys(("failed", "parked", "orphan"), BAD),
    **dict.fromkeys(("minting", "sending", "pending_distribution", "payment_completed", "planned", "sent"), INFO),
    **dict.fromkeys(("submitted", "signed", "intended", "open", "deposit", "payout", "mint"), INFO),
}
"""The colour of a state's label; the text always stands beside it. What is not named is over, or nothing to look at."""
DONE: Mapping[str, str] = {
    "approve": "Approved.",
    "pause": "Paused.",
    "resume": "Resumed.",
    "retry": "It runs again.",
    "accept": "Accepted as your own.",
    "adopt": "Adopted: it is read back from the chain now.",
    "plan": "Planned.",
    "nothing": "Nothing is payable now: no batch was planned.",
    "welcome": "Your account is there. Sign in.",
    "out": "Signed out.",
    "wallet": "The wallet is being prepared.",
    "saved": "Saved.",
    "pin": "Circle has your PIN. Your wallet follows in a moment; if a PIN is still asked for then, choose it again.",
    "dropped": "Given up; nothing was sent.",
    "hold": "Held.",
    "unhold": "The hold is ended.",
    "refund": "The refund is asked for; Stripe's answer follows.",
    "release": "Released: the creators are paid with the next batch.",
    "replay": "It is worked on once more.",
    "revoke": "Revoked.",
    "close": "Closed.",
    "unbooked": "Closed; nothing of it is booked.",
    "conversions": "Announced.",
    "orders": "Proposed; it waits for its approval.",
    "cancel": "Taken back.",
    "withdraw": "Withdrawn.",
    "unmatch": "Not that one's any more: see what explains it now.",
    "settle": "Settled, and booked.",
    "restore": "It is for sale again.",
    "reconciliations": "It is under way.",
    "published": "It is for sale.",
}
"""What a page says after a form, by the word in its address: nobody can put words of his own there."""


PAYOUT_WORDS: Mapping[str, str] = {
    "pending_conversion": "waits for payout",
    "pending_distribution": "ready for payout",
    "distributed": "paid",
    "netted": "used for debt",
    "cancelled": "refunded",
    "failed": "delayed",
}
"""What creators call a payout's states."""
WALLET_WORDS: Mapping[str, str] = {
    "none": "no Circle wallet",
    "queued": "being prepared",
    "challenge": "needs your PIN",
}
"""What its owner calls a wallet's states."""


LIBRARY_WORDS: Mapping[str, str] = {
    "minting": "being made",
    "waiting_for_wallet": "waits for your wallet",
    "owned": "yours",
    "transferred": "passed on",
}
"""What buyers call the states of what they bought."""


_COINS: Mapping[str, tuple[str, Callable[[int], str]]] = {
    "usd_cents": ("USD", format_cents),
    "usdc_base_units": ("USDC", format_usdc),
    "lamports": ("SOL", format_sol),
}
_FACTS_IN_USDC = frozenset({"planned_amount", "expected_usdc", "received", "amount", "unexplained", "own_amount"})
_FACTS_IN_CENTS = frozenset({"usd_cents", "refunded_amount"})
"""By the names of the columns that the audit log writes down (`storage/books/audit.py`)."""


def tone(state: str) -> str:
    return TONES.get(state, IDLE)


def words(state: str) -> str:
    """A state as people read it: `pending_conversion` → "pending conversion"."""
    return state.replace("_", " ") or "not due yet"


def payout_words(state: str) -> str:
    return PAYOUT_WORDS.get(state, words(state))


def library_words(state: str) -> str:
    return LIBRARY_WORDS.get(state, words(state))


def wallet_words(state: str) -> str:
    return WALLET_WORDS.get(state, words(state))


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago, or in how long; in the largest unit that fits."""
    if moment is None:
        return "never"
    seconds = int((now - moment).total_seconds())
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def span(seconds: int) -> str:
    """A duration: "42 s", "12 min", "5 h", "3 d"."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def counted(number: int, noun: str) -> str:
    """ "1 sale", "2 sales"; nouns of ours take an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def minute(moment: datetime | None) -> str:
    """ "23 Nov 09:00" in UTC."""
    return "–" if moment is None else f"{moment.astimezone(UTC):%d %b %H:%M}"


def day(moment: datetime) -> str:
    """ "20 Nov 2036" in UTC: for what is not of this year."""
    return f"{moment.astimezone(UTC):%d %b %Y}"


def exact(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def short(text: str | None, keep: int = 4) -> str:
    """The two ends of an address or a signature."""
    if not text:
        return "–"
    return text if len(text) <= 2 * keep + 3 else f"{text[:keep]}…{text[-keep:]}"


def grouped(amount: str | int) -> str:
    """A decimal string with a thin space between thousands of its whole part: nothing is rounded."""
    sign, digits = ("-", str(amount)[1:]) if str(amount).startswith("-") else ("", str(amount))
    whole, dot, places = digits.partition(".")
    parts = []
    while len(whole) > 3:
        parts.append(whole[-3:])
        whole = whole[:-3]
    return sign + "\u2009".join([whole, *reversed(parts)]) + dot + places


def per_cent(bps: int) -> str:
    """Basis points: 1250 → "12.5"."""
    return format_decimal(bps, 2, 0)


def sentence(text: object) -> str:
    """An error's words with a capital letter and a full stop; nothing else of them changes."""
    said = str(text).strip()
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "!", "?")) else ".")


def here(request: WebRequest) -> str:
    """This page's own address without the word of a form that was just done."""
    query = {name: text for name, text in request.query.items() if name != "done"}
    return f"{request.path}?{urlencode(query)}" if query else request.path


def with_query(address: str, name: str, value: object) -> str:
    """The address with one part of its query set."""
    parts = urlsplit(address)
    kept = [pair for pair in parse_qsl(parts.query) if pair[0] != name]
    return f"{parts.path}?{urlencode([*kept, (name, value)])}"


def booked(amount: int, asset: str) -> str:
    """What is booked in an asset's smallest unit, in the unit that `coin` names."""
    return _COINS[asset][1](amount)


def coin(asset: str) -> str:
    return _COINS[asset][0]


def fact(value: object, name: str) -> str:
    """A fact of the audit log: an amount with its unit, all else as it is."""
    if isinstance(value, int) and name in _FACTS_IN_USDC:
        return f"{grouped(format_usdc(value))} USDC"
    if isinstance(value, int) and name in _FACTS_IN_CENTS:
        return f"{grouped(format_cents(value))} USD"
    return plain(value)


def plain(value: object) -> str:
    """A fact in one line: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def pretty(value: object) -> str:
    """JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def done(word: str | None) -> str:
    return DONE.get(word or "", "")


FILTERS: Mapping[str, Callable[..., Any]] = {
    "tone": tone,
    "words": words,
    "payout_words": payout_words,
    "wallet_words": wallet_words,
    "library_words": library_words,
    "sentence": sentence,
    "ago": ago,
    "counted": counted,
    "span": span,
    "minute": minute,
    "day": day,
    "exact": exact,
    "short": short,
    "grouped": grouped,
    "dollars": format_cents,
    "per_cent": per_cent,
    "with_query": with_query,
    "plain": plain,
    "fact": fact,
    "booked": booked,
    "coin": coin,
    "tojson_pretty": pretty,
}
