"""What was wrong with a form, in its own words: the API's messages name its own fields and units."""

from collections.abc import Mapping

from domain.errors import RequestError


def in_words(error: RequestError, said: Mapping[str, str]) -> RequestError:
    """The same refusal in the words of `said`, which has them by code, and by field for a value that does not fit."""
    words = said.get(error.code) or (said.get(error.field or "") if error.code == "invalid_request" else None)
    return error if words is None else RequestError(error.status, error.code, words, error.field)
