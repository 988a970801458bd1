"""Checks of request parameters. A check turns the form value under a name into a Python value or raises `ApiError`.

Stripe refuses what it doesn't know, so every endpoint lists the whole of what it takes.
"""

import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.stripe_service.errors import bad_param
from sandbox.stripe_service.forms import Form, FormValue

Check = Callable[[FormValue, str], Any]
Fields = Mapping[str, Check]

METADATA_KEYS_MAX = 50
METADATA_KEY_CHARS_MAX = 40
METADATA_VALUE_CHARS_MAX = 500
AMOUNT_MAX = 99_999_999
"""Stripe's greatest charge, $999,999.99."""


def read(form: Form, fields: Fields, required: Collection[str] = (), prefix: str = "") -> dict[str, Any]:
    """All of `form` through its checks; a name outside `fields` is refused, and so is a missing `required` one."""
    values: dict[str, Any] = {}
    for key, value in form.items():
        name = f"{prefix}[{key}]" if prefix else key
        check = fields.get(key)
        if check is None:
            raise bad_param(f"Received unknown parameter: {name}", name, "parameter_unknown")
        values[key] = check(value, name)
    for key in required:
        if key not in values:
            name = f"{prefix}[{key}]" if prefix else key
            raise bad_param(f"Missing required param: {name}.", name, "parameter_missing")
    return values


def text(chars_max: int = 5000, *, blank: bool = False) -> Check:
    def check(value: FormValue, name: str) -> str:
        if not isinstance(value, str):
            raise bad_param(f"Invalid string: {name}", name)
        if not value and not blank:
            message = (
                f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter"
            )
            raise bad_param(f"{message}; however '{name}' cannot be unset.", name, "parameter_invalid_empty")
        if len(value) > chars_max:
            message = f"Invalid string: {value[:20]}...; must be at most {chars_max} characters"
            raise bad_param(message, name, "parameter_invalid_string_too_long")
        return value

    return check


def integer(least: int | None = None, most: int | None = None) -> Check:
    def check(value: FormValue, name: str) -> int:
        if not isinstance(value, str) or not re.fullmatch(r"-?\d{1,18}", value):
            raise bad_param(f"Invalid integer: {value}", name, "parameter_invalid_integer")
        number = int(value)
        if least is not None and number < least:
            raise bad_param(f"This value must be greater than or equal to {least}.", name, "parameter_invalid_integer")
        if most is not None and number > most:
            raise bad_param(f"This value must be less than or equal to {most}.", name, "parameter_invalid_integer")
        return number

    return check


def boolean(value: FormValue, name: str) -> bool:
    if value not in ("true", "false"):
        raise bad_param(f"Invalid boolean: {value}", name)
    return value == "true"


def decimal(value: FormValue, name: str) -> Decimal:
    """A non-negative decimal of at most 12 places."""
    try:
        number = Decimal(value) if isinstance(value, str) and re.fullmatch(r"\d{1,12}(\.\d{1,12})?", value) else None
    except InvalidOperation:
        number = None
    if number is None:
        raise bad_param(f"Invalid decimal: {value}; must contain at most 12 decimal places.", name)
    return number


def choice(*allowed: str) -> Check:
    def check(value: FormValue, name: str) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise bad_param(f"Invalid {name}: must be one of {', '.join(allowed)}", name)

    return check


def url(value: FormValue, name: str) -> str:
    if isinstance(value, str) and re.match(r"https?://[^\s/?#]+", value) and len(value) <= 5000:
        return value
    raise bad_param("Not a valid URL", name, "url_invalid")


def hash_of(fields: Fields, required: Collection[str] = ()) -> Check:
    def check(value: FormValue, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise bad_param("Invalid object", name)
        return read(value, fields, required, name)

    return check


def array_of(item: Check, items_max: int = 100) -> Check:
    """A list, written `name[]=x` or `name[0]=x`."""

    def check(value: FormValue, name: str) -> list[Any]:
        if not isinstance(value, dict) or not all(key.isdecimal() for key in value):
            raise bad_param("Invalid array", name)
        if len(value) > items_max:
            raise bad_param(f"Array {name} exceeded maximum {items_max} allowed elements.", name)
        ordered = sorted(value.items(), key=lambda pair: int(pair[0]))
        return [item(inner, f"{name}[{index}]") for index, (_, inner) in enumerate(ordered)]

    return check


def either(first: Check, second: Check) -> Check:
    """A plain value through `first`, a hash through `second`."""
    return lambda value, name: (first if isinstance(value, str) else second)(value, name)


def metadata(value: FormValue, name: str) -> dict[str, str]:
    """Text to text within Stripe's bounds. An empty text as the whole value clears everything."""
    if value == "":
        return {}
    if not isinstance(value, dict):
        raise bad_param("Invalid hash: metadata must be a set of key-value pairs", name)
    if len(value) > METADATA_KEYS_MAX:
        raise bad_param(f"You can specify at most {METADATA_KEYS_MAX} metadata keys.", name)
    for key, inner in value.items():
        if not isinstance(inner, str):
            raise bad_param("Metadata values must be strings.", f"{name}[{key}]")
        if len(key) > METADATA_KEY_CHARS_MAX or len(inner) > METADATA_VALUE_CHARS_MAX:
            raise bad_param("Metadata keys hold up to 40 characters, values up to 500.", f"{name}[{key}]")
    return {key: inner for key, inner in value.items() if isinstance(inner, str)}


def anything(value: FormValue, _name: str) -> FormValue:
    """For what changes only the look of Stripe's own page: taken and not acted on."""
    return value


def off(value: FormValue, name: str) -> FormValue:
    """For features that change the money and that this sandbox has not: only `{enabled: false}` passes."""
    if value == {"enabled": "false"}:
        return value
    raise bad_param(f"The sandbox's Stripe does not offer {name}.", name)


def unavailable(value: FormValue, name: str) -> FormValue:
    raise bad_param(f"The sandbox's Stripe does not offer {name}.", name)


RANGE: Fields = {"gt": integer(), "gte": integer(), "lt": integer(), "lte": integer()}
PAGE: Fields = {
    "limit": integer(1, 100),
    "starting_after": text(255),
    "ending_before": text(255),
    "created": either(integer(), hash_of(RANGE)),
}
"""What every list takes; `expand` is taken off before."""
expand_paths = array_of(text(200), 20)
