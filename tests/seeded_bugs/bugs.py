"""All seeded bugs."""

from tests.seeded_bugs import (
    bugs_of_connections,
    bugs_of_conversions,
    bugs_of_dashboards,
    bugs_of_guards,
    bugs_of_hands,
    bugs_of_parties,
    bugs_of_payouts,
    bugs_of_real_time,
    bugs_of_retries,
    bugs_of_sales,
    bugs_of_shortages,
    bugs_of_the_calendar,
)
from tests.seeded_bugs.planting import BUGS, Bug

__all__ = [
    "BUGS",
    "Bug",
    "bugs_of_connections",
    "bugs_of_conversions",
    "bugs_of_dashboards",
    "bugs_of_guards",
    "bugs_of_hands",
    "bugs_of_parties",
    "bugs_of_payouts",
    "bugs_of_real_time",
    "bugs_of_retries",
    "bugs_of_sales",
    "bugs_of_shortages",
    "bugs_of_the_calendar",
]
