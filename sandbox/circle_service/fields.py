"""Reading a request: JSON body and query string, with every bad field collected into one 400."""

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from sandbox.circle_service.errors import ApiError, Detail, bad_field, invalid, path_not_uuid, uuid_format

UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
NIL = "00000000-0000-0000-0000-000000000000"

Json = dict[str, object]


def is_uuid(value: object, version: int | None = None) -> bool:
    """A UUID in its canonical text, not the nil one; of `version` (and RFC 4122 variant) if asked for."""
    if not isinstance(value, str) or not UUID_TEXT.fullmatch(value) or value == NIL:
        return False
    return version is None or uuid.UUID(value).version == version


def path_id(value: str) -> str:
    if not is_uuid(value):
        raise path_not_uuid()
    return value.lower()


def parse_json(body: bytes) -> Json:
    try:
        parsed = json.loads(body)
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()  # no NaN, no half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise ApiError(400, 2, "API parameter invalid") from error
    if not isinstance(parsed, dict):
        raise ApiError(400, 2, "API parameter invalid")
    return parsed


def parse_query(query: str) -> dict[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True))


class Fields:
    """Typed access to a body or query. Getters note what is wrong and go on; `done` raises it all at once."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values
        self.errors: list[Detail] = []

    def done(self) -> None:
        if self.errors:
            raise invalid(self.errors)

    def fail(self, name: str, error: str, says: str, **constraints: object) -> None:
        self.errors.append(bad_field(name, self.values.get(name), error, says, **constraints))

    def has(self, name: str) -> bool:
        return self.values.get(name) is not None

    def text(self, name: str, *, required: bool = False, max_length: int | None = None) -> str | None:
        value = self.values.get(name)
        if value is None:
            if required:
                self.fail(name, "required", "may not be empty")
            return None
        if not isinstance(value, str):
            self.fail(name, "invalid_value", "must be a string")
            return None
        if required and not value:
            self.fail(name, "required", "may not be empty")
        if max_length is not None and len(value) > max_length:
            self.fail(name, "length_outside_bounds", "is too long", max=max_length)
        return value

    def uuid(self, name: str, *, required: bool = False, version: int | None = None) -> str | None:
        value = self.text(name, required=required)
        if value and not is_uuid(value, version):
            self.errors.append(uuid_format(name, value))
            return None
        return value.lower() if value else None

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        value = self.text(name)
        if value is not None and value not in allowed:
            self.fail(name, "invalid_value", f"must be one of {', '.join(allowed)}")
            return None
        return value

    def texts(self, name: str, *, required: bool = False) -> list[str]:
        """A list of strings; `min_value` error when required and empty, as the live API reports it."""
        value = self.values.get(name)
        if value is None and not required:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(name, "required" if value is None else "invalid_value", "must be a list of strings")
            return []
        if required and not value:
            self.fail(name, "min_value", "must be greater than 1", min=1)
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """An integer between the bounds, from JSON or from a query's text."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(name, "number_format", "must be an integer")
            return default
        if value < low:
            self.fail(name, "min_value", f"must be greater than or equal to {low}", min=low)
        elif value > high:
            self.fail(name, "max_value", f"must be less than or equal to {high}", max=high)
        return value

    def boolean(self, name: str) -> bool | None:
        """JSON's true/false, or true/True/false/False in a query (official clients send both spellings)."""
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        self.fail(name, "invalid_value", "must be a boolean")
        return None

    def moment_ms(self, name: str) -> int | None:
        """An ISO 8601 date and time, with a zone (`Z` or `+0000`), read as UTC without one."""
        value = self.text(name)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(name, "invalid_value", "must be an ISO 8601 date and time")
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)

    def check(self, name: str, test: Callable[[str], bool], error: str, says: str) -> None:
        """Report `error` when the field is a string that fails `test`."""
        value = self.values.get(name)
        if isinstance(value, str) and not test(value):
            self.fail(name, error, says)
