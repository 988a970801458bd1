"""Whether the database keeps its promises: every rule that its rows can show, page by page, with its first bad row.

The rules are the invariants of the reliability reference, section 3. What rows alone can't show is not here: fencing
(I10), the audit of who did what beyond its chain (I13), secrets in outputs (I14), refused requests that leave nothing
(I16). What Stripe, Circle and the chain say is held against the rows by the reconciliation.
"""

from collections.abc import Mapping

from storage.verification.attempts import ATTEMPTS
from storage.verification.books import BOOKS
from storage.verification.causes import CAUSED
from storage.verification.check import Check, Finding, Page
from storage.verification.dues import DUES
from storage.verification.orders import ORDERS
from storage.verification.outflows import OUTFLOWS
from storage.verification.plans import PLANS
from storage.verification.sales import SALES
from storage.verification.standing import STANDING
from storage.verification.states import STATES

CHECKS: Mapping[str, Check] = {
    check.name: check
    for check in (*BOOKS, *CAUSED, *SALES, *PLANS, *OUTFLOWS, *ATTEMPTS, *DUES, *ORDERS, *STATES, *STANDING)
}
"""By name, in the order in which they are run."""

__all__ = ["CHECKS", "Check", "Finding", "Page"]
