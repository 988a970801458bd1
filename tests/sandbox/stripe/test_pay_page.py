"""The hosted pay page without a browser."""

from sandbox.service import Request, Response
from tests.sandbox.stripe.machine import Machine


def visit(machine: Machine, path: str, method: str = "GET", body: bytes = b"") -> Response:
    return machine.service.handle(Request(method, path, "", {}, body))


def page_path(machine: Machine, **more: str) -> tuple[str, str]:
    machine.service.public_url = "http://127.0.0.1:9/"
    session = machine.open_session(**more)
    assert session["url"] == f"http://127.0.0.1:9/c/pay/{session['id']}"
    return session["id"], f"/c/pay/{session['id']}"


def test_pay_leads_to_the_success_url_with_the_session_in_it() -> None:
    machine = Machine()
    session_id, path = page_path(machine)
    page = visit(machine, path).body.decode()
    assert "Still life" in page
    assert "$3.00" in page
    answer = visit(machine, f"{path}/pay", "POST", b"method=card")
    assert (answer.status, answer.headers["location"]) == (303, f"https://shop.example/ok?sid={session_id}")
    assert "Paid" in visit(machine, path).body.decode()
    assert visit(machine, f"{path}/pay", "POST", b"method=card").headers["location"] == path
    assert machine.event_types().count("checkout.session.completed") == 1


def test_decline_shows_an_error_and_lets_the_buyer_try_again() -> None:
    machine = Machine()
    _, path = page_path(machine)
    assert "role=alert" not in visit(machine, path).body.decode()
    assert visit(machine, f"{path}/decline", "POST").headers["location"] == path
    page = visit(machine, path).body.decode()
    assert "Your card was declined." in page
    assert (
        visit(machine, f"{path}/pay", "POST", b"method=card").headers["location"].startswith("https://shop.example/ok")
    )


def test_an_expired_session_shows_no_button() -> None:
    machine = Machine()
    session_id, path = page_path(machine)
    machine.controls.expire(session_id)
    page = visit(machine, path).body.decode()
    assert "expired" in page
    assert "<button" not in page


def test_names_and_links_are_escaped() -> None:
    machine = Machine()
    evil = "<script>alert(1)</script>\"'"
    name = {"line_items[0][price_data][product_data][name]": evil, "cancel_url": 'https://x.example/"><script>'}
    _, path = page_path(machine, **name)
    answer = visit(machine, path)
    assert b"<script>" not in answer.body
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_method_that_is_not_offered_pays_nothing() -> None:
    machine = Machine()
    session_id, path = page_path(machine, **{"allowed_payment_method_types[0]": "card"})
    assert visit(machine, f"{path}/pay", "POST", b"method=us_bank_account").headers["location"] == path
    assert machine.ok("GET", f"/v1/checkout/sessions/{session_id}")["status"] == "open"


def test_unknown_pages_and_methods_are_refused() -> None:
    machine = Machine()
    _, path = page_path(machine)
    assert visit(machine, "/c/pay/cs_unknown").status == 404
    assert visit(machine, f"{path}/pay").status == 405
