"""Retry-After as others write it, and foreign text in our messages."""

from datetime import timedelta
from email.utils import format_datetime

import pytest

from gateways.border import RETRY_AFTER_MAX_SECONDS, one_line, retry_after_seconds
from tests.gateways.wire import NOW


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("86400", RETRY_AFTER_MAX_SECONDS),
        ("9" * 18, RETRY_AFTER_MAX_SECONDS),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٧", None),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(NOW - timedelta(seconds=30), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=30), usegmt=True), RETRY_AFTER_MAX_SECONDS),
        ("Mon, 23 Nov 2026 09:00:10", 10.0),
        ("9" * 5_000, RETRY_AFTER_MAX_SECONDS),
        ("Mon, 23 Nov 2026 09:00:10 +99999999999999999999", None),
        ("Mon, 23 Nov 99999999999999999999 09:00:10 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date_and_kept_within_15_minutes(header: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": header}, NOW) == seconds


def test_without_the_header_there_is_no_wish() -> None:
    assert retry_after_seconds({}, NOW) is None


def test_foreign_text_stays_on_one_line_and_ends() -> None:
    assert one_line("a\r\nb\x1b[31mc\u2028d") == "a b [31mc d"
    assert len(one_line("x" * 10_000)) == 300
