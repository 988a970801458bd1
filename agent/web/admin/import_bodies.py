"""Bodies of the operator's endpoint for users from before."""

from typing import Annotated, Literal

from pydantic import Field

from agent.web.bodies import Answer, Asked

ROWS_MOST = 200
"""Rows of one request: one transaction."""
CELL_MOST = 1_000


class ImportRow(Asked):
    """One line as it stands in the file: what is wrong with it is answered, not refused."""

    line: Annotated[int, Field(ge=1, le=10_000_000)]
    email: Annotated[str, Field(max_length=CELL_MOST)] = ""
    username: Annotated[str, Field(max_length=CELL_MOST)] = ""
    wallet_provider: Annotated[str, Field(max_length=CELL_MOST)] = ""
    wallet_address: Annotated[str, Field(max_length=CELL_MOST)] = ""
    web3auth_sub: Annotated[str, Field(max_length=CELL_MOST)] = ""


class ImportWish(Asked):
    """`dry_run` changes nothing and answers the same, but for the ids and passwords."""

    rows: Annotated[list[ImportRow], Field(min_length=1, max_length=ROWS_MOST)]
    dry_run: bool = False


class ImportedRow(Answer):
    """`new`: made, or would be; `known`: the account is there with this very address; `refused`: see code and message.

    `password` is random and shown this once: it signs the user in until he is given another.
    """

    line: int
    outcome: Literal["new", "known", "refused"]
    user_id: int | None = None
    password: str | None = None
    code: str | None = None
    message: str | None = None
    field: str | None = None


class Imported(Answer):
    rows: list[ImportedRow]
