"""`verify` and `trace` against a daemon's admin port: what they print, what they answer, how they end."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Connection, text

from agent.cli import tracing, verification
from agent.cli.client import CommandFailed
from domain.evidence import Evidence
from domain.ledger import Asset
from domain.states import RefundState
from storage.payouts import groups
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.sales import returns
from storage.sales.returns import RefundSeen
from storage.treasury import funding, network_costs
from storage.treasury.movement_rows import Movement
from storage.verification import CHECKS
from tests.cli.conftest import TOKEN, House
from tests.sales import MINT_LAMPORTS, PLATFORM, START, Sales
from tests.storage import test_groups, test_mint_settlement

LATER = START + timedelta(days=7)


@pytest.fixture(autouse=True)
def environment(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_ADMIN_URL", house.access.url)
    monkeypatch.setenv("AGENT_ADMIN_TOKEN", TOKEN)


def paid_and_refunded(shop: Sales) -> Callable[[Connection], int]:
    def change(conn: Connection) -> int:
        ada, buyer = shop.user(conn, "ada"), shop.user(conn, "buyer")
        sale = shop.sold(conn, shop.content(conn, ada), buyer)
        shop.deposit(conn, 10_000_000)
        terms = PlanTerms(LATER, LATER, 10_000, False, timedelta(0), "purchase", "circle")
        batch = take(conn, "offcycle:1", terms, lambda _: None, "ada", shop.uuids)
        assert batch is not None
        funding.fund(conn, shop.usdc_account, LATER)
        shop.pay(conn, batch, LATER)
        shop.settle(conn, batch, LATER)
        for signature, lamports in ((f"mint-signature-{sale}", -5_115_000), ("payout-1", -5_000)):
            network_costs.book_lamports(conn, [Movement(signature, PLATFORM, Asset.SOL, lamports, 9, LATER)], LATER)
        returns.record_refund(conn, sale, RefundSeen("re_late", 100, RefundState.SUCCEEDED, None), LATER)
        return sale

    return change


async def test_verify_says_of_every_rule_that_it_holds(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    await house.shop.store.write(paid_and_refunded(house.sales))
    assert await verification.run(as_json=False) == 0
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines()[:-1]] == list(CHECKS)
    assert f"All {len(CHECKS)} rules hold" in out
    assert await verification.run(as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["outcome"], told["exit_code"], len(told["rules"])) == ("holds", 0, len(CHECKS))


async def test_verify_names_the_first_bad_row_and_ends_with_3(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    sale = await house.shop.store.write(paid_and_refunded(house.sales))
    await house.shop.store.write(
        lambda conn: conn.execute(text("UPDATE purchases SET nft_mint_address = NULL")).rowcount
    )
    assert await verification.run(as_json=False) == verification.BROKEN
    out = capsys.readouterr().out
    assert f"BROKEN  sale-states (I4, I9): purchases {sale}: it is completed and its mint has" in out
    assert "1 of " in out
    assert await verification.run(as_json=True) == verification.BROKEN
    broken = [rule for rule in json.loads(capsys.readouterr().out)["rules"] if rule["finding"] is not None]
    assert [(rule["name"], rule["finding"]["row"]) for rule in broken] == [("sale-states", f"purchases {sale}")]


@pytest.mark.parametrize("by", ["number", "payment_intent"])
async def test_trace_tells_one_sale_from_stripe_to_the_last_signature(
    house: House, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    sale = await house.shop.store.write(paid_and_refunded(house.sales))
    assert await tracing.run(str(sale) if by == "number" else "pi_1", as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["purchase"]["id"] == sale
    assert {"sale_paid", "fee_final", "sale_due", "payouts_distributed", "due_changed", "refund_succeeded"} <= {
        entry["kind"] for entry in told["entries"]
    }
    changes = [(one["machine"], one["after"]) for one in told["changes"]]
    assert changes.index(("purchase", "payment_completed")) < changes.index(("mint", "finalized"))
    assert changes.index(("mint", "finalized")) < changes.index(("payout", "distributed"))
    assert json.loads(told["transfers"][0]["proof"])["finalized"] == told["purchase"]["usdc_transfer_signature"]
    assert told["costs"] == {
        "stripe_fee": "0.39",
        "dispute_fees": "0.00",
        "mint_lamports": 5_115_000,
        "transfer_lamports": 5_000,
        "transfers_shared": 0,
        "platform_amount": "0.26",
        "platform_left": "0.043333",
    }
    assert await tracing.run(str(sale), as_json=False) == 0
    out = capsys.readouterr().out
    for said in (
        "pi_1",
        "pending_distribution → distributed",
        f"mint-signature-{sale}",
        "payout-1",
        "re_late",
        "0.39 USD",
    ):
        assert said in out, said


def packed_with_another(shop: Sales) -> Callable[[Connection], str]:
    """Two sales paid by one transaction, which leaves a receipt: its rent comes back."""

    def change(conn: Connection) -> str:
        group_id = test_groups.group_of(conn, shop, test_groups.batch_of(conn, shop))
        test_groups.signed(conn, group_id, "both")
        groups.paid(conn, group_id, Evidence("both", True, "", 9, LATER, 1_493_440, 5_000), shop.usdc_account, LATER)
        return "both"

    return change


def paid_by_its_mint(_: Sales) -> Callable[[Connection], str]:
    def change(conn: Connection) -> str:
        scene = test_mint_settlement.scene(conn)
        scene.signed()
        scene.landed()
        return test_mint_settlement.SIGNATURE

    return change


@pytest.mark.parametrize(
    ("story", "cost", "shown"),
    [
        (packed_with_another, 1_493_440, (MINT_LAMPORTS, 5_000, 1)),
        (paid_by_its_mint, MINT_LAMPORTS, (MINT_LAMPORTS, 0, 0)),
    ],
)
async def test_trace_counts_a_transaction_once_and_no_rent_that_comes_back(
    house: House,
    capsys: pytest.CaptureFixture[str],
    story: Callable[[Sales], Callable[[Connection], str]],
    cost: int,
    shown: tuple[int, int, int],
) -> None:
    def change(conn: Connection) -> None:
        moved = Movement(story(house.sales)(conn), PLATFORM, Asset.SOL, -cost, 9, LATER)
        network_costs.book_lamports(conn, [moved], LATER)

    await house.shop.store.write(change)
    assert await tracing.run("1", as_json=True) == 0
    costs = json.loads(capsys.readouterr().out)["costs"]
    assert (costs["mint_lamports"], costs["transfer_lamports"], costs["transfers_shared"]) == shown


async def test_a_sale_that_is_not_there_is_said_so(house: House) -> None:
    with pytest.raises(CommandFailed, match="there is no sale pi_unknown"):
        await tracing.run("pi_unknown", as_json=False)
    with pytest.raises(CommandFailed, match="PURCHASE_ID is"):
        await tracing.run("seven", as_json=False)
