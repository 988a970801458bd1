"""Changing metadata afterwards, which Stripe allows on almost every object."""

from sandbox.stripe_service import params as p
from sandbox.stripe_service.books import Json

METADATA_ONLY: p.Fields = {"metadata": p.metadata}


def merge(row: Json, values: Json) -> Json | None:
    """Merge new metadata into `row`: a blank value removes its key, a blank whole removes all. Answers the earlier
    values for `previous_attributes`, or None when nothing changes."""
    if "metadata" not in values:
        return None
    before: dict[str, str] = row["metadata"]
    merged = {**before, **values["metadata"]} if values["metadata"] else {}
    after = {key: value for key, value in merged.items() if value}
    if after == before:
        return None
    row["metadata"] = after
    return {"metadata": before}
