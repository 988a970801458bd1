"""The stored report of the contract checks: written after them, required by live.

Live refuses to start before the open questions about Circle, Stripe and Solana were settled with real test keys.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.contract.check import Result
from agent.identity import StartRefused
from config.settings import Settings

REPORT_KEY = "passed"
DEFAULT_FILE = "contract-report.json"
REAL_SERVICES = {"stripe_api": "https://api.stripe.com", "circle_api": "https://api.circle.com"}
"""What a report must have been made against: one made against a sandbox says nothing about them."""
_REMEDY = "run `make contract` with test keys, or set AGENT_SKIP_CONTRACT_REPORT=true and know why"


def build_report(settings: Settings, results: Sequence[Result], at: datetime) -> dict[str, Any]:
    """The document: every check by name, the answers to the open questions, and whether live may start with it."""
    return {
        REPORT_KEY: all(not result.stops_live for result in results),
        "made_at": at.isoformat(),
        "stripe_api": settings.agent_stripe_api_url,
        "circle_api": settings.agent_circle_api_url,
        "answers": {name: value for result in results for name, value in result.answers.items()},
        "checks": [
            {
                "name": result.check.name,
                "settles": result.check.settles,
                "verdict": result.verdict,
                "needed": result.check.needed,
                "found": result.text,
                "mend": result.mend,
            }
            for result in results
        ],
    }


def require_contract_report(settings: Settings) -> None:
    """Raises StartRefused in live without a stored, passed report of `make contract` or an explicit override."""
    if not settings.live or settings.agent_skip_contract_report:
        return
    path = settings.agent_contract_report
    if not path:
        raise StartRefused(f"AGENT_CONTRACT_REPORT: live needs the stored report of the contract checks; {_REMEDY}")
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StartRefused(f"AGENT_CONTRACT_REPORT: {path} can't be read ({type(error).__name__}); {_REMEDY}") from None
    if not isinstance(report, dict) or report.get(REPORT_KEY) is not True:
        raise StartRefused(f"AGENT_CONTRACT_REPORT: {path} does not say that all checks passed; {_REMEDY}")
    for name, url in REAL_SERVICES.items():
        if str(report.get(name)).rstrip("/") != url:
            raise StartRefused(f"AGENT_CONTRACT_REPORT: {path} was not made against {url}; {_REMEDY}")
