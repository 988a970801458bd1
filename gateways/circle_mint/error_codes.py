"""Circle Mint's error codes as far as they are known. Its envelope is the one of Circle's wallets.

Not documented, and so unknown by rule: which code a known idempotency key with another body gets (its pages speak of
409), and whether a transfer beyond the balance is refused at once or becomes `failed` (`insufficient_funds`).
"""

from gateways.circle_api.error_codes import ErrorCodes, Verdict

MINT = ErrorCodes(
    "Circle Mint",
    {
        2: (Verdict.FINAL, "parameter invalid; `errors` names the field"),
        3: (Verdict.ACCESS, "the API key lacks access"),
        4: (Verdict.ACCESS, "unauthorized"),
        5: (Verdict.LATER, "rate limit"),
        401: (Verdict.ACCESS, "malformed or unknown credentials"),
        # A recipient may have been removed after an earlier request worked, so this is never final.
        404: (Verdict.LATER, "not found or not visible"),
    },
    frozenset({3, 4, 401}),
    "/v1/businessAccount/balances",
)
