"""Form bodies and query strings as Stripe reads them: `a[b][0]=x`, `a[]=x`, percent-encoded brackets."""

import re
from urllib.parse import parse_qsl

from sandbox.stripe_service.errors import ApiError

Form = dict[str, "FormValue"]
FormValue = str | Form
"""A leaf is a string; every bracket is a level of keys. Lists are still hashes of numbers here: the parameter's own
check knows that it wants a list."""

FIELDS_MAX = 5000
DEPTH_MAX = 8
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def parse_form(raw: str) -> Form:
    """Nested parameters of one body or query. Raises `ApiError` for keys that cannot be understood."""
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise ApiError(400, "Invalid request: the parameters could not be read.", saved=False) from error
    form: Form = {}
    for name, value in pairs:
        _put(form, _path(name), value)
    return form


def _path(name: str) -> list[str]:
    found = _KEY.fullmatch(name)
    if found is None:
        raise ApiError(400, f"Invalid parameter name: {name[:80]}", param=name[:80], saved=False)
    path = [found[1], *found[2][1:-1].split("][")] if found[2] else [found[1]]
    if len(path) > DEPTH_MAX:
        raise ApiError(400, f"Parameter nested too deeply: {name[:80]}", param=name[:80], saved=False)
    return path


def _put(form: Form, path: list[str], value: str) -> None:
    level = form
    for key in path[:-1]:
        inner = level.setdefault(_step(level, key), {})
        if isinstance(inner, str):
            raise ApiError(400, f"Invalid parameter: {path[0]} is both a value and a hash", param=path[0], saved=False)
        level = inner
    level[_step(level, path[-1])] = value


def _step(level: Form, key: str) -> str:
    """`a[]` appends: its key is the next free number."""
    return key if key else str(len(level))


def canonical(form: Form) -> str:
    """The same parameters give the same text, whatever their order (for comparing repeats of an idempotency key)."""
    return repr(_sorted(form))


def _sorted(value: FormValue) -> object:
    if isinstance(value, str):
        return value
    return sorted((key, _sorted(inner)) for key, inner in value.items())
