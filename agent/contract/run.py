"""Runs the checks in order, each to its end: one that fails stops none of the others."""

from collections.abc import Callable, Sequence

from agent.contract import chain_checks, circle_checks, mint_checks, stripe_checks
from agent.contract.check import Check, Failed, Result, Skipped, Verdict
from agent.contract.ground import Ground
from domain.errors import Misuse, PaymentSystemError

CHECKS: tuple[Check, ...] = (
    *stripe_checks.CHECKS,
    *circle_checks.CHECKS,
    *mint_checks.CHECKS,
    *chain_checks.CHECKS,
)
"""In an order in which each finds what it stands on."""
_BY_NAME = {check.name: check for check in CHECKS}
Tell = Callable[[Result], None]


def chosen(names: Sequence[str]) -> list[Check]:
    """The checks of these names or of these services (`circle`), all for none given, with those they stand on."""
    wanted: set[str] = set()

    def want(check: Check) -> None:
        wanted.add(check.name)
        for name in check.after:
            want(_BY_NAME[name])

    for check in CHECKS:
        service, _, _ = check.name.partition(".")
        if not names or check.name in names or service in names:
            want(check)
    return [check for check in CHECKS if check.name in wanted]


async def run_checks(ground: Ground, checks: Sequence[Check], tell: Tell) -> list[Result]:
    """`tell` hears of each result as it comes. No text holds a secret of the settings."""
    results = []
    for check in checks:
        result = await _run(ground, check)
        tell(result)
        results.append(result)
    return results


async def _run(ground: Ground, check: Check) -> Result:
    hide = ground.settings.confidential
    try:
        found = await check.run(ground)
    except Skipped as skipped:
        return Result(check, Verdict.SKIP, _hidden(str(skipped), hide), _hidden(skipped.mend, hide))
    except Failed as failed:
        return Result(check, Verdict.FAIL, _hidden(str(failed), hide), _hidden(failed.mend, hide))
    except (PaymentSystemError, Misuse) as error:
        return Result(check, Verdict.FAIL, _hidden(str(error), hide), "mend what the message names, then run it again")
    return Result(check, Verdict.PASS, _hidden(found.text, hide), answers=found.answers)


def _hidden(text: str, secrets: frozenset[str]) -> str:
    """What a service echoes may hold a key: it is cut out of everything that is shown or stored."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
