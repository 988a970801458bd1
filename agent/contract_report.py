"""Live refuses to start before the open questions about Circle and Solana were settled with real test keys."""

import json
from pathlib import Path

from agent.identity import StartRefused
from config.settings import Settings

REPORT_KEY = "passed"


def require_contract_report(settings: Settings) -> None:
    """Raises StartRefused in live without a stored, passed report of `make contract` or an explicit override."""
    if not settings.live or settings.agent_skip_contract_report:
        return
    path = settings.agent_contract_report
    remedy = "run `make contract` with test keys, or set AGENT_SKIP_CONTRACT_REPORT=true and know why"
    if not path:
        raise StartRefused(f"AGENT_CONTRACT_REPORT: live needs the stored report of the contract checks; {remedy}")
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StartRefused(f"AGENT_CONTRACT_REPORT: {path} can't be read ({type(error).__name__}); {remedy}") from None
    if not isinstance(report, dict) or report.get(REPORT_KEY) is not True:
        raise StartRefused(f"AGENT_CONTRACT_REPORT: {path} does not say that all checks passed; {remedy}")
