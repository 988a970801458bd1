"""Stripe's hosted pay page, small: what is bought, a Pay button, a Decline button. Works without JavaScript."""

import re
from collections.abc import Callable
from html import escape
from urllib.parse import parse_qs

from sandbox.service import Request, Response
from sandbox.stripe_service.books import Json
from sandbox.stripe_service.errors import ApiError
from sandbox.stripe_service.world import World

_PATH = re.compile(r"/c/pay/([^/]+)(?:/(pay|decline))?")
_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_STYLE = """
:root{color-scheme:light dark;--ink:#1a1f36;--soft:#697386;--line:#e3e8ee;--page:#f6f8fb;--card:#fff;--go:#3b5bdb}
@media(prefers-color-scheme:dark){:root{--ink:#eef1f6;--soft:#9aa5b8;--line:#2c3446;--page:#10141d;--card:#181e2a;--go:#4263eb}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;
background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{width:100%;max-width:26rem;background:var(--card);border:1px solid var(--line);border-radius:14px;padding:2rem;
box-shadow:0 12px 32px rgb(20 30 60/.08)}
.mode{font-size:.75rem;letter-spacing:.04em;color:#8a5a00;background:#ffe9b8;border-radius:6px;padding:.15rem .5rem}
h1{font-size:1rem;font-weight:500;color:var(--soft);margin:1rem 0 .25rem;overflow-wrap:anywhere}
.amount{font-size:2.5rem;font-weight:650;margin:0 0 1.25rem;font-variant-numeric:tabular-nums}
ul{list-style:none;margin:0 0 1.25rem;padding:.75rem 0;border-block:1px solid var(--line)}
li{display:flex;justify-content:space-between;gap:1rem}li span:first-child{overflow-wrap:anywhere}
button,.back{display:block;width:100%;padding:.8rem;border-radius:8px;font:inherit;font-weight:600;text-align:center;
border:1px solid var(--line);background:transparent;color:var(--ink);margin-top:.6rem;
cursor:pointer;text-decoration:none}
button.pay{background:var(--go);border-color:var(--go);color:#fff}
button:focus-visible,.back:focus-visible{outline:3px solid var(--go);
outline-offset:2px}.back{border:0;font-weight:400;color:var(--soft)}
.error{background:#fde8e8;color:#8c1d18;border-radius:8px;padding:.7rem .9rem;margin:0 0 1rem}
footer{margin-top:1.25rem;font-size:.8rem;color:var(--soft);text-align:center}
"""


def dollars(cents: int) -> str:
    return f"${cents // 100:,}.{cents % 100:02d}"


class PayPage:
    def __init__(self, world: World) -> None:
        self._world = world

    def handle(self, request: Request) -> Response:
        found = _PATH.fullmatch(request.path)
        session = self._world.books.sessions.get(found[1]) if found else None
        if found is None or session is None:
            return _html(404, "Not found", "<h1>This page does not exist.</h1>")
        action = found[2]
        if request.method == "GET" and action is None:
            return self._show(session)
        if request.method == "POST" and action is not None:
            return self._act(session, action, request.body)
        return _html(405, "Not allowed", "<h1>This page is opened with GET and answered with its buttons.</h1>")

    def _act(self, session: Json, action: str, body: bytes) -> Response:
        """Pay leads on to the shop, a decline back to the page; so does a session that is not open any more."""
        here = f"/c/pay/{session['id']}"
        payments = self._world.payments
        try:
            if action == "decline":
                payments.decline(session["id"])
                return _redirect(here)
            payments.pay(session["id"], _field(body, "method", "card"), _field(body, "email", "") or None)
        except ApiError:
            return _redirect(here)
        return _redirect(_return_url(session))

    def _show(self, session: Json) -> Response:
        status: str = session["status"]
        show: dict[str, Callable[[Json], str]] = {"open": self._form, "complete": _thanks, "expired": _expired}
        title = {"open": "Pay", "complete": "Paid", "expired": "Expired"}[status]
        return _html(200, title, show[status](session))

    def _form(self, session: Json) -> str:
        path = f"/c/pay/{escape(session['id'])}"
        items = self._world.books.line_items[session["id"]]
        name = items[0]["description"] if len(items) == 1 else f"{len(items)} items"
        rows = "".join(
            f"<li><span>{escape(item['description'])} × {item['quantity']}</span>"
            f"<span>{dollars(item['amount_total'])}</span></li>"
            for item in items
        )
        cancel = session["cancel_url"]
        back = f'<a class="back" href="{escape(cancel)}">Back to the shop</a>' if cancel else ""
        return (
            f"{self._error(session)}<h1>{escape(name)}</h1><p class=amount>{dollars(session['amount_total'])}</p>"
            f"<ul>{rows}</ul>{self._buttons(session, path)}"
            f'<form method=post action="{path}/decline"><button id=decline>Decline the card</button></form>{back}'
        )

    def _buttons(self, session: Json, path: str) -> str:
        labels = {
            "card": f"Pay {dollars(session['amount_total'])}",
            "us_bank_account": "Pay by bank debit (settles later)",
        }
        return "".join(
            f'<form method=post action="{path}/pay"><input type=hidden name=method value="{method}">'
            f'<button id="pay-{method}"{" class=pay" if index == 0 else ""}>{labels[method]}</button></form>'
            for index, method in enumerate(session["payment_method_types"])
        )

    def _error(self, session: Json) -> str:
        intent = self._world.books.payment_intents.get(session["payment_intent"] or "")
        if intent is None or intent["last_payment_error"] is None:
            return ""
        message = escape(intent["last_payment_error"]["message"])
        return f"<p class=error role=alert>{message} Nothing was charged. You can try again.</p>"


def _thanks(session: Json) -> str:
    state = "Paid" if session["payment_status"] == "paid" else "Payment on its way"
    back = f'<a class="back" href="{escape(_return_url(session))}">Back to the shop</a>'
    return f"<h1>{state}</h1><p class=amount>{dollars(session['amount_total'])}</p>{back}"


def _expired(session: Json) -> str:
    cancel = session["cancel_url"]
    back = f'<a class="back" href="{escape(cancel)}">Back to the shop</a>' if cancel else ""
    return f"<h1>This checkout has expired</h1><p>Nothing was charged. Please start again in the shop.</p>{back}"


def _return_url(session: Json) -> str:
    url: str = session["success_url"]
    return url.replace("{CHECKOUT_SESSION_ID}", session["id"])


def _field(body: bytes, name: str, default: str) -> str:
    values = parse_qs(body.decode("utf-8", "replace"), max_num_fields=20).get(name)
    return values[0] if values else default


def _redirect(url: str) -> Response:
    return Response(303, b"", {"location": url, "cache-control": "no-store"})


def _html(status: int, title: str, inside: str) -> Response:
    page = (
        f'<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>{title} · renaissBlock</title><style>{_STYLE}</style>"
        f"<main><span class=mode>SANDBOX · no real money</span>"
        f"{inside}<footer>The sandbox's stand-in for Stripe Checkout</footer></main></html>"
    )
    return Response(status, page.encode(), _HEADERS)
