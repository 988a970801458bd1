"""Circle's PIN window, small: what pw-auth.circle.com shows in a frame, at the root of the sandbox's Circle.

It speaks as the real one does with Circle's Web SDK (w3s-pw-web-sdk 1.1.11): onFrameReady to its opener, {w3s} back,
then onComplete, onError or onClose. Any six digits are a PIN; the first that a user gives is his.
"""

import json

from sandbox.circle_service.custody import Custody
from sandbox.circle_service.errors import ApiError, challenge_not_found, pin_wrong
from sandbox.circle_service.fields import Fields, parse_json
from sandbox.circle_service.users import FAILED
from sandbox.service import Request, Response

PATHS = frozenset({("GET", "/"), ("GET", "/pin.js"), ("POST", "/pin")})
PIN_DIGITS = 6
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors http://127.0.0.1:* http://localhost:*"
)
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Circle (sandbox)</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:0;padding:22px;display:grid;gap:10px;
grid-template-columns:minmax(0,1fr)}*{box-sizing:border-box}
h1{font-size:17px;margin:0}p{margin:0}input{font:22px ui-monospace,monospace;letter-spacing:.4em;padding:8px 10px;
width:min(11em,100%);border:1px solid #888;border-radius:8px;background:none;color:inherit}
button{font:inherit;font-weight:600;padding:9px 16px;border-radius:8px;border:1px solid #8886;background:none;
color:inherit;cursor:pointer}
button[type=submit]{background:#1452f0;border-color:#1452f0;color:#fff}
:focus-visible{outline:3px solid #1452f0;outline-offset:2px}
form{display:grid;grid-template-columns:minmax(0,1fr);gap:12px;justify-items:start}.bad{color:#c0392b}small{opacity:.7}
</style></head><body><h1>Your PIN</h1><form id="form" hidden>
<p><label for="pin">Six digits that only you know</label></p>
<input id="pin" inputmode="numeric" autocomplete="off" pattern="[0-9]{6}" maxlength="6" required>
<p><button type="submit" id="go">Confirm</button> <button type="button" id="close">Close</button></p></form>
<p id="said" role="status">Waiting for the page around this window</p>
<small>The sandbox's Circle: any six digits will do.</small>
<script src="/pin.js"></script></body></html>"""
_SCRIPT = """"use strict";
const opener_ = new URLSearchParams(location.search).get("origin"), said = document.getElementById("said");
const form = document.getElementById("form"), pin = document.getElementById("pin");
let w3s = null;
const tell = (message) => parent.postMessage(message, opener_);
addEventListener("message", (event) => {
  if (event.origin !== opener_ || !event.data.w3s) return;
  w3s = event.data.w3s; form.hidden = false; said.textContent = ""; pin.focus();
});
document.getElementById("close").addEventListener("click", () => tell({ onClose: true }));
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ appId: w3s.appSettings.appId, userToken: w3s.auth.userToken,
    encryptionKey: w3s.auth.encryptionKey, challengeId: w3s.challenge.challengeId, pin: pin.value });
  const answer = await fetch("/pin", { method: "POST", body, headers: { "content-type": "application/json" } });
  const told = await answer.json();
  if (answer.ok) { said.textContent = "Done"; tell({ onComplete: true, result: told }); return; }
  said.textContent = told.message; said.className = "bad"; pin.value = ""; pin.focus();
  tell({ onError: true, error: told });
});
if (opener_) tell({ onFrameReady: true });
"""


def serves(request: Request) -> bool:
    return (request.method, request.path) in PATHS


def answer_pin(custody: Custody, request: Request) -> Response:
    """The window, its script, and what it sends."""
    if request.path == "/":
        return _typed(200, _PAGE, "text/html; charset=utf-8")
    if request.path == "/pin.js":
        return _typed(200, _SCRIPT, "text/javascript; charset=utf-8")
    try:
        return _typed(200, json.dumps(_complete(custody, Fields(parse_json(request.body)))), "application/json")
    except ApiError as error:
        return _typed(error.status, json.dumps({"code": error.code, "message": error.message}), "application/json")


def _complete(custody: Custody, fields: Fields) -> dict[str, str]:
    """The user's token, a challenge of his own, and his PIN. Raises ApiError."""
    app_id, challenge_id = fields.text("appId"), fields.uuid("challengeId")
    token, pin = fields.text("userToken", required=True), fields.text("pin", required=True) or ""
    fields.text("encryptionKey", required=True)
    fields.check("pin", lambda text: len(text) == PIN_DIGITS and text.isdigit(), "pin_format", "six digits")
    fields.done()
    user = custody.users.of_token(token)
    if app_id != custody.entity.app_id:
        raise challenge_not_found()
    challenge = custody.challenges.get(challenge_id or "", user)
    if user.pin_digits is not None and user.pin_digits != pin:
        raise pin_wrong()
    custody.challenges.complete(challenge)
    if challenge.status == FAILED:
        raise ApiError(400, challenge.error_code, challenge.error_message)
    user.pin_digits = pin
    return {"type": challenge.kind, "status": challenge.status}


def _typed(status: int, text: str, kind: str) -> Response:
    headers = {"content-type": kind, "cache-control": "no-store", "content-security-policy": _POLICY}
    return Response(status, text.encode(), headers)
