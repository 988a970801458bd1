"""The kinds of values in bodies, and the rules that all request and answer models share."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints

INT_MAX = 2**53 - 1
"""Every JSON reader keeps integers up to here exactly."""
_LINE = r"^[^\x00-\x1f\x7f]*$"
_PROSE = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"

Line = Annotated[str, StringConstraints(pattern=_LINE, strict=True)]
"""Text without control characters."""
Prose = Annotated[str, StringConstraints(pattern=_PROSE, strict=True)]
"""Text that may have line breaks and tabs."""
RowId = Annotated[int, Field(ge=1, le=INT_MAX)]
Bps = Annotated[int, Field(ge=1, le=10_000)]
Moment = Annotated[datetime, PlainSerializer(lambda moment: moment.isoformat().replace("+00:00", "Z"), return_type=str)]
"""RFC 3339 in UTC."""
Money = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", examples=["2.35"])]
"""A decimal string: USD with 2 places, USDC with 2 to 6."""
_USDC = r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$"
Usdc = Annotated[Line, Field(pattern=_USDC, examples=["112.50"])]
"""What somebody asks for: a decimal string of USDC, up to 6 places."""
_KEY = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
IdempotencyKey = Annotated[Line, Field(pattern=_KEY, examples=["7c9e6679-7425-40de-944b-e07fc1f90ae7"])]
"""A random UUID (version 4) of the sender's own. The same wish with the same key again is done once, and answered as it
was; with another wish the key is refused (409 `idempotency_key_used`)."""
IN_WORDS = {
    _LINE: "write it in one line, without control characters",
    _PROSE: "write it without control characters",
    _USDC: "write it in digits with a point and at most 6 places, like 112.50",
    _KEY: "write a random UUID (version 4) in small letters",
    "int_parsing": "write a whole number in digits",
    "missing": "it is left out",
    "extra_forbidden": "there is no such field here",
}
"""How to mend what does not fit a pattern that people run into, or is wrong in a way that they run into."""


class Asked(BaseModel):
    """A request: anything it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """What an endpoint answers. Fields without a value are null, never left out."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class Paging(Asked):
    """A page that starts after the last one: `before` is the `next` of the page before."""

    before: RowId | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class Reason(Asked):
    """Why; it is shown to the other operators."""

    reason: Annotated[Prose, Field(min_length=1, max_length=300)]


class Warned(Answer):
    """Something accepted that the sender should know about."""

    code: str
    message: str


def plain(row: Any) -> dict[str, Any]:
    """A database row as a mapping by column name."""
    return dict(row._mapping)  # noqa: SLF001 (SQLAlchemy's public name for a row by column)
