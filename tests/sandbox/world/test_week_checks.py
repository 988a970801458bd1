"""A week in which everything holds has no violations; each thing that is wrong is named."""

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from sandbox.week.chain import Nft
from sandbox.week.checks import find_violations
from sandbox.week.facts import Creator, Member, Sale, Seen
from sandbox.week.plan import Person, Piece
from sandbox.week.report import closing_table, outcome

DUE = 2_350_000
PIECE = Piece(0, "Blue Echo", "", 300, None, "QmX", None, {0: 10_000})


def member(user_id: int, name: str) -> Member:
    return Member(Person(name, f"{name}@example.com", "secret"), user_id, f"token-{user_id}", f"address-{user_id}")


def purchase(number: int) -> dict[str, Any]:
    return {
        "status": "completed",
        "status_reason": None,
        "nft_minted": True,
        "nft_mint_address": f"mint-{number}",
        "edition_number": number,
        "usdc_payment_status": "distributed",
        "stripe_fee": "0.39",
        "stripe_payment_intent_id": f"pi_{number}",
        "payouts": [{"recipient_id": 1, "amount": "2.35", "status": "distributed"}],
    }


def good_week() -> Seen:
    """Two sales of $3.00 by one creator."""
    creator = member(1, "Ada")
    buyers = [member(10 + number, f"buyer{number}") for number in (1, 2)]
    payments = [{"payment_intent": f"pi_{n}", "gross_cents": 300, "fee_cents": 39} for n in (1, 2)]
    sales = [
        Sale(buyer, PIECE, 5, "ipfs://QmX", {1: 10_000}, f"cs_{n}", n, purchase(n), payments[n - 1])
        for n, buyer in enumerate(buyers, 1)
    ]
    nfts = [
        Nft(f"mint-{n}", buyer.address, "1", 0, None, f"Blue Echo #{n}", "ipfs://QmX")
        for n, buyer in enumerate(buyers, 1)
    ]
    dashboard = {
        "total_sales_usd": "4.70",
        "paid_out": "4.70",
        "available_balance": "4.70",
        "pending_distribution": "0.00",
        "debt": "0.00",
        "held": "0.00",
    }
    return Seen(
        sales=sales,
        creators=[Creator(creator, 2, 2 * DUE, 2 * DUE, dashboard)],
        nfts=nfts,
        platform_before=7,
        deposited=2 * DUE,
        platform_after=7,
        ledger_sum=0,
        before_batch=sales,
        dry_run="Total purchases: 2\nTotal USDC to distribute: 4.70\nNumber of creators: 1\n\nBREAKDOWN BY CREATOR:\n",
    )


def test_a_week_in_which_everything_holds_has_no_violations() -> None:
    assert find_violations(good_week()) == []


def spoil_nft(**wrong: Any) -> Callable[[Seen], None]:
    def spoil(seen: Seen) -> None:
        seen.nfts[0] = replace(seen.nfts[0], **wrong)

    return spoil


def spoil_purchase(**wrong: Any) -> Callable[[Seen], None]:
    return lambda seen: seen.sales[0].purchase.update(wrong)


def spoil(**wrong: Any) -> Callable[[Seen], None]:
    def set_all(seen: Seen) -> None:
        for name, value in wrong.items():
            setattr(seen, name, value)

    return set_all


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (spoil_purchase(status="minting"), "purchase 1: status minting"),
        (spoil_purchase(usdc_payment_status="pending_distribution"), "usdc_payment_status pending_distribution"),
        (spoil_purchase(usdc_payment_status=""), "usdc_payment_status empty"),
        (spoil_purchase(stripe_fee="0.38"), "stripe_fee 0.38, at Stripe 39 cents"),
        (spoil_purchase(stripe_fee=None), "stripe_fee None"),
        (spoil_purchase(stripe_payment_intent_id="pi_9"), "payment intent pi_9"),
        (spoil_purchase(payouts=[]), "payouts to users [], due to [1]"),
        (spoil_purchase(edition_number=2), "content 5: editions [2, 2]"),
        (spoil_purchase(nft_mint_address="mint-3"), "NFT of purchase 1: mint-3 is not on chain"),
        (lambda seen: seen.sales[1].purchase.clear(), "session cs_2: the buyer's library does not have it"),
        (lambda seen: seen.nfts.append(replace(seen.nfts[0], mint="mint-9")), "NFT mint-9 of address-11 belongs to no"),
        (lambda seen: seen.nfts.append(seen.nfts[0]), "3 wallets hold NFTs of 2 mints"),
        (spoil_nft(holder="address-12"), "holder on chain is 'address-12'"),
        (spoil_nft(supply="2"), "supply on chain is '2'"),
        (spoil_nft(mint_authority="address-0"), "mint_authority on chain is 'address-0', not None"),
        (spoil_nft(name="Blue Echo #9"), "name on chain is 'Blue Echo #9', not 'Blue Echo #1'"),
        (spoil_nft(uri=None), "uri on chain is None"),
        (lambda seen: setattr(seen.creators[0], "on_chain", DUE), "creator 1: 2.35 USDC on chain, due 4.70"),
        (lambda seen: seen.creators[0].dashboard.update(paid_out="2.35"), "dashboard says paid_out 2.35, not 4.70"),
        (spoil(platform_after=6), "platform wallet holds 0.000006 USDC, not 0.000007"),
        (spoil(ledger_sum=3), "the ledger's imbalance is 3"),
        (spoil(ledger_sum=None), "the ledger's imbalance is None"),
        (spoil(dry_run=None), "the dry run does not say 'Total purchases: 2'"),
        (spoil(dry_run="Total purchases: 3"), "the dry run does not say 'Total purchases: 2'"),
        (spoil(dry_run="Total USDC to distribute: 4.71"), "the dry run does not say 'Total USDC to distribute: 4.70'"),
        (spoil(dry_run="Number of creators: 2"), "the dry run does not say 'Number of creators: 1'"),
        (spoil(failures=["the batch command ended with 4"]), "the batch command ended with 4"),
        (
            lambda seen: seen.sales[0].purchase["payouts"][0].update(status="failed"),
            "the daemon paid out 2.35 USDC, creators hold 4.70",
        ),
        (lambda seen: seen.sales[1].payment.update(payment_intent="pi_1"), "payment pi_1 counts for 2 sales"),
    ],
)
def test_each_thing_that_is_wrong_is_named(damage: Callable[[Seen], None], named: str) -> None:
    seen = good_week()
    damage(seen)
    found = find_violations(seen)
    assert any(named in line for line in found), found


def test_the_report_has_the_promised_keys_and_forms() -> None:
    seen = good_week()
    found = outcome(seen, 61.26, {}, ([seen.creators[0].member], []), None)
    assert found.report == {
        "purchases": 2,
        "creators": 1,
        "minted": 2,
        "distributed": 2,
        "paid_in_real_time": 0,
        "usdc_distributed": "4.70",
        "on_chain": {"nfts": 2, "usdc_received": "4.70"},
        "ledger_sum": 0,
        "seconds": 61.3,
        "violations": [],
    }


def test_the_closing_table_shows_due_and_chain_and_marks_a_difference() -> None:
    seen = good_week()
    seen.creators[0].on_chain = DUE
    written = StringIO()
    Console(file=written, width=80).print(closing_table(seen))
    shown = written.getvalue()
    assert "Ada" in shown
    assert "4.70" in shown
    assert "2.35" in shown
    assert "✗" in shown
