"""User-controlled wallets: users, their tokens, and the challenges that only a user's PIN completes
(reference/circle.md, section 7)."""

import base64
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sandbox.circle_service.errors import (
    ApiError,
    challenge_not_found,
    user_exists,
    user_not_found,
    user_token_expired,
    user_token_invalid,
    user_token_not_found,
)
from sandbox.circle_service.settings import Switches
from sandbox.circle_service.wire import iso, new_id
from sandbox.service import Clock

TOKEN_LIFE_MS = 60 * 60 * 1000
"""60 minutes [docs]."""

ENABLED = "ENABLED"
UNSET = "UNSET"
PENDING = "PENDING"
COMPLETE = "COMPLETE"
FAILED = "FAILED"


@dataclass(slots=True)
class EndUser:
    id: str
    create_ms: int
    pin: str = UNSET
    questions: str = UNSET
    pin_digits: str | None = field(default=None, repr=False)
    """What was typed into the PIN window first; None where the PIN was never typed."""

    def view(self) -> dict[str, object]:
        return {
            "id": self.id,
            "createDate": iso(self.create_ms),
            "status": ENABLED,
            "pinStatus": self.pin,
            "securityQuestionStatus": self.questions,
            "pinDetails": {"failedAttempts": 0},
            "securityQuestionDetails": {"failedAttempts": 0},
        }


@dataclass(slots=True)
class Challenge:
    """Something that waits for the user's PIN. `run` does it and returns the ids of what it made."""

    id: str
    kind: str
    user: EndUser
    create_ms: int
    run: Callable[[], list[str]] = field(repr=False)
    due_ms: int | None = None
    status: str = PENDING
    correlation_ids: list[str] = field(default_factory=list)
    error_code: int = 0
    error_message: str = ""
    result: dict[str, object] | None = None
    """What a signing challenge gives to the user's client."""

    def view(self) -> dict[str, object]:
        view: dict[str, object] = {"id": self.id, "type": self.kind, "status": self.status}
        if self.correlation_ids:
            view["correlationIds"] = self.correlation_ids
        if self.status == FAILED:
            view |= {"errorCode": self.error_code, "errorMessage": self.error_message}
        return view

    def notification(self) -> dict[str, object]:
        return {
            "id": self.id,
            "userId": self.user.id,
            "type": self.kind,
            "status": self.status,
            "correlationIds": self.correlation_ids,
            "errorCode": self.error_code,
            "errorMessage": self.error_message,
        }


class UserBook:
    """Users and the tokens that speak for them."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._users: dict[str, EndUser] = {}
        self._tokens: dict[str, tuple[EndUser, int]] = {}

    def create(self, user_id: str) -> EndUser:
        if user_id in self._users:
            raise user_exists()
        user = self._users[user_id] = EndUser(user_id, self._clock())
        return user

    def get(self, user_id: str) -> EndUser:
        if user_id not in self._users:
            raise user_not_found()
        return self._users[user_id]

    def all(self) -> Iterable[EndUser]:
        return self._users.values()

    def issue_token(self, user: EndUser) -> dict[str, object]:
        """A fresh userToken (shaped like a JWT, good for 60 minutes) and encryptionKey."""
        now = self._clock()
        self._drop_old_tokens(now)
        expires = now + TOKEN_LIFE_MS
        claims = {"sub": user.id, "iat": now // 1000, "exp": expires // 1000, "jti": new_id(self._rng)}
        parts = (_segment(b'{"alg":"RS256","typ":"JWT"}'), _segment(json.dumps(claims).encode()))
        token = ".".join([*parts, _segment(self._rng.randbytes(256))])
        self._tokens[token] = (user, expires)
        return {"userToken": token, "encryptionKey": base64.b64encode(self._rng.randbytes(32)).decode()}

    def of_token(self, token: str | None) -> EndUser:
        """Whom a token speaks for. Raises 401 or 403."""
        if not token:
            raise user_token_not_found()
        if token not in self._tokens:
            raise user_token_expired() if _has_expired(token, self._clock()) else user_token_invalid()
        user, expires = self._tokens[token]
        if self._clock() >= expires:
            raise user_token_expired()
        return user

    def _drop_old_tokens(self, now: int) -> None:
        while self._tokens:
            oldest = next(iter(self._tokens))
            if self._tokens[oldest][1] > now:
                return
            del self._tokens[oldest]


class ChallengeBook:
    """Open and finished challenges. In automatic mode a challenge completes `auto_pin_ms` after it was made."""

    def __init__(
        self, clock: Clock, rng: random.Random, switches: Switches, on_change: Callable[[Challenge], None]
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._switches = switches
        self._on_change = on_change
        self._all: dict[str, Challenge] = {}
        self._open: dict[str, Challenge] = {}

    def create(self, user: EndUser, kind: str, run: Callable[[], list[str]]) -> Challenge:
        now = self._clock()
        challenge = Challenge(new_id(self._rng), kind, user, now, run, due_ms=now + self._switches.auto_pin_ms)
        self._all[challenge.id] = self._open[challenge.id] = challenge
        return challenge

    def get(self, challenge_id: str, user: EndUser | None = None) -> Challenge:
        challenge = self._all.get(challenge_id)
        if challenge is None or (user is not None and challenge.user is not user):
            raise challenge_not_found()
        return challenge

    def of(self, user: EndUser) -> list[Challenge]:
        return [challenge for challenge in self._all.values() if challenge.user is user]

    def open(self) -> list[Challenge]:
        return list(self._open.values())

    def next_due_ms(self) -> int | None:
        if not self._switches.auto_pin or not self._open:
            return None
        return min(challenge.due_ms or 0 for challenge in self._open.values())

    def tick(self, now_ms: int) -> None:
        if self._switches.auto_pin:
            for challenge in self.open():
                if (challenge.due_ms or 0) <= now_ms:
                    self.complete(challenge)

    def complete(self, challenge: Challenge) -> None:
        """The user has entered the PIN. A finished challenge stays as it is."""
        if self._open.pop(challenge.id, None) is None:
            return
        try:
            challenge.correlation_ids = challenge.run()
            challenge.status = COMPLETE
        except ApiError as error:
            challenge.status = FAILED
            challenge.error_code = error.code
            challenge.error_message = error.message
        self._on_change(challenge)


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _has_expired(token: str, now_ms: int) -> bool:
    """Whether the token claims an end that has passed (its own entry is long dropped)."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return int(claims["exp"]) * 1000 <= now_ms
    except (ValueError, IndexError, KeyError, TypeError):
        return False
