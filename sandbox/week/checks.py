"""What must hold when the week is over. Pure: facts in, a line for each violation out."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from sandbox.week.arithmetic import cents, creator_side, shared, usdc_text, usdc_units
from sandbox.week.chain import Nft
from sandbox.week.facts import Creator, Sale, Seen


def find_violations(seen: Seen) -> list[str]:
    """Empty when everything holds."""
    return [
        *seen.failures,
        *(line for sale in seen.sales for line in _sale(sale)),
        *_editions(seen.sales),
        *_nfts(seen.sales, seen.nfts),
        *(line for creator in seen.creators for line in _creator(creator)),
        *_money(seen),
        *_dry_run(seen),
        *_real_time(seen),
    ]


def distributed_units(seen: Seen) -> int:
    """Sum of the payouts that the daemon calls distributed."""
    return sum(
        usdc_units(payout["amount"])
        for sale in seen.sales
        for payout in sale.purchase.get("payouts", ())
        if payout["status"] == "distributed"
    )


def _sale(sale: Sale) -> Iterator[str]:
    told, paid, name = sale.purchase, sale.payment, f"purchase of session {sale.session_id}"
    if not told:
        yield f"{name}: the buyer's library does not have it"
        return
    name = f"purchase {sale.purchase_id}"
    if told["status"] != "completed" or not told["nft_minted"]:
        yield f"{name}: status {told['status']} ({told['status_reason']}), not completed"
    if told["usdc_payment_status"] != "distributed":
        yield f"{name}: usdc_payment_status {told['usdc_payment_status'] or 'empty'}, not distributed"
    if paid.get("fee_cents") is None:
        yield f"{name}: Stripe has no fee for it"
    elif told["stripe_fee"] is None or cents(told["stripe_fee"]) != paid["fee_cents"]:
        yield f"{name}: stripe_fee {told['stripe_fee']}, at Stripe {paid['fee_cents']} cents"
    if told["stripe_payment_intent_id"] != paid.get("payment_intent"):
        yield f"{name}: payment intent {told['stripe_payment_intent_id']}, at Stripe {paid.get('payment_intent')}"
    recipients = sorted(payout["recipient_id"] for payout in told["payouts"])
    if recipients != sorted(sale.shares):
        yield f"{name}: payouts to users {recipients}, due to {sorted(sale.shares)}"


def _editions(sales: list[Sale]) -> Iterator[str]:
    numbers: dict[int, list[int]] = defaultdict(list)
    for sale in sales:
        numbers[sale.content_id].append(sale.purchase.get("edition_number") or 0)
    for content_id, found in numbers.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            yield f"content {content_id}: editions {sorted(found)} were sold, not 1 to {len(found)}"


def _nfts(sales: list[Sale], nfts: list[Nft]) -> Iterator[str]:
    """Every purchase has one NFT with its buyer, and no NFT is without its purchase."""
    by_mint = {nft.mint: nft for nft in nfts}
    if len(by_mint) != len(nfts):
        yield f"{len(nfts)} wallets hold NFTs of {len(by_mint)} mints"
    for sale in sales:
        mint = sale.purchase.get("nft_mint_address")
        nft = by_mint.pop(mint, None) if mint else None
        name = f"NFT of purchase {sale.purchase_id}"
        if nft is None:
            yield f"{name}: {mint} is not on chain, or not in a buyer's wallet"
            continue
        wanted = {
            "holder": sale.buyer.address,
            "supply": "1",
            "decimals": 0,
            "mint_authority": None,
            "name": f"{sale.piece.title} #{sale.purchase.get('edition_number')}",
            "uri": sale.nft_uri,
        }
        for field, value in wanted.items():
            if getattr(nft, field) != value:
                yield f"{name}: {field} on chain is {getattr(nft, field)!r}, not {value!r}"
    for nft in by_mint.values():
        yield f"NFT {nft.mint} of {nft.holder} belongs to no purchase"


def _creator(creator: Creator) -> Iterator[str]:
    name, told = f"creator {creator.member.user_id}", creator.dashboard
    if creator.on_chain != creator.due:
        yield f"{name}: {usdc_text(creator.on_chain)} USDC on chain, due {usdc_text(creator.due)}"
    wanted = {"total_sales_usd": creator.due, "paid_out": creator.due, "available_balance": creator.on_chain}
    for field, units in (wanted | {"pending_distribution": 0, "debt": 0, "held": 0}).items():
        if told.get(field) != usdc_text(units):
            yield f"{name}: dashboard says {field} {told.get(field)}, not {usdc_text(units)}"


def _money(seen: Seen) -> Iterator[str]:
    due = sum(creator.due for creator in seen.creators)
    received = sum(creator.on_chain for creator in seen.creators)
    expected = seen.platform_before + seen.deposited - due
    if seen.platform_after != expected:
        yield f"platform wallet holds {usdc_text(seen.platform_after)} USDC, not {usdc_text(expected)}"
    if distributed_units(seen) != received:
        yield f"the daemon paid out {usdc_text(distributed_units(seen))} USDC, creators hold {usdc_text(received)}"
    if seen.ledger_sum != 0:
        yield f"the ledger's imbalance is {seen.ledger_sum}, not 0"
    intents = Counter(sale.payment.get("payment_intent") for sale in seen.sales)
    yield from (f"payment {intent} counts for {times} sales" for intent, times in intents.items() if times > 1)


def _dry_run(seen: Seen) -> Iterator[str]:
    """The figures that the operator decides by: what is left for the batch."""
    lines = [] if seen.dry_run is None else [line.strip() for line in seen.dry_run.splitlines()]
    due: Counter[int] = Counter()
    for sale in seen.before_batch:
        due.update(shared(creator_side(sale.payment["gross_cents"], sale.payment["fee_cents"]), sale.shares))
    for wanted in (
        f"Total purchases: {len(seen.before_batch)}",
        f"Total USDC to distribute: {usdc_text(due.total())}",
        f"Number of creators: {sum(amount > 0 for amount in due.values())}",
    ):
        if wanted not in lines:
            yield f"the dry run does not say {wanted!r}"


def _real_time(seen: Seen) -> Iterator[str]:
    if seen.paid_in_real_time == 0:
        yield "real-time payout has paid no sale: all of them were left to the batch"
