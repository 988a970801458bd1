"""The platform's API, as its users' clients call it."""

from typing import Any

from sandbox.week.access import Access
from sandbox.week.facts import Creator, Member, Sale
from sandbox.week.plan import Person, Piece
from sandbox.week.wire import WeekFailed, Wire

CREATED = 201
CONFLICT = 409
MINTED = "completed"
DISTRIBUTED = "distributed"


class Shop:
    """Calls of the daemon's public port, and one of its admin port."""

    def __init__(self, wire: Wire, access: Access) -> None:
        self._wire = wire
        self._access = access

    async def join(self, person: Person) -> Member:
        """Sign up and log in. A taken e-mail is this person's own first try, whose answer was lost."""
        wish = {
            "email": person.email,
            "password": person.password,
            "username": person.name,
            "invite_code": self._access.invite_code,
        }
        status, told = await self._wire.call("POST", self._url("/api/auth/signup/"), body=wish)
        if status not in (CREATED, CONFLICT):
            raise WeekFailed(f"{person.email} can't sign up: {status} {told}")
        login = {"email": person.email, "password": person.password}
        token = (await self._wire.must("POST", self._url("/api/auth/login/"), body=login))["token"]
        profile = await self._get("/api/profile/", token)
        return Member(person, profile["user_id"], token)

    async def has_wallet(self, member: Member) -> bool:
        """Whether the wallet is there; if so the member knows its address."""
        profile = await self._get("/api/profile/", member.token)
        if profile["wallet_state"] == "failed":
            raise WeekFailed(f"the wallet of {member.person.email} failed")
        member.address = profile["circle_wallet_address"] or ""
        return bool(member.address)

    async def publish(self, author: Member, piece: Piece, shares: dict[int, int]) -> dict[str, Any]:
        wish: dict[str, Any] = {
            "title": piece.title,
            "description": piece.description,
            "price_cents": piece.price_cents,
            "editions": piece.editions,
            "ipfs_hash": piece.ipfs_hash,
            "teaser_link": piece.teaser_link,
        }
        if set(shares) != {author.user_id}:
            wish["collaborators"] = [{"user_id": user, "share_bps": bps} for user, bps in shares.items()]
        told: dict[str, Any] = await self._wire.must("POST", self._url("/api/content/"), token=author.token, body=wish)
        return told

    async def check_out(self, buyer: Member, content_id: int) -> dict[str, str]:
        """`session_id` and `redirect_url`."""
        wish = {"content_id": content_id, "payment_method": "card"}
        told: dict[str, str] = await self._wire.must(
            "POST", self._url("/api/checkout/stripe/"), token=buyer.token, body=wish
        )
        return told

    async def refresh(self, sale: Sale) -> None:
        """Ask the daemon anew about a sale."""
        if sale.purchase_id is None:
            items = (await self._get("/api/library/", sale.buyer.token))["items"]
            mine = [item["purchase_id"] for item in items if item["content_id"] == sale.content_id]
            if not mine:
                return
            sale.purchase_id = mine[0]
        sale.purchase = await self._get(f"/api/purchases/{sale.purchase_id}/", sale.buyer.token)

    async def is_minted(self, sale: Sale) -> bool:
        """Minted, with its fee known: what the batch asks for."""
        await self.refresh(sale)
        return bool(sale.purchase) and sale.purchase["status"] == MINTED and bool(sale.purchase["usdc_payment_status"])

    async def is_distributed(self, sale: Sale) -> bool:
        await self.refresh(sale)
        return bool(sale.purchase) and sale.purchase["usdc_payment_status"] == DISTRIBUTED

    async def has_dashboard(self, creator: Creator) -> bool:
        """Read anew; False while the daemon can't read the wallet's balance from the chain, and says so."""
        member = creator.member
        creator.dashboard = await self._get(f"/api/creators/{member.user_id}/dashboard/", member.token)
        return not creator.dashboard["available_balance_unavailable"]

    async def ledger_imbalance(self) -> int:
        """Sum over assets of the absolute imbalance."""
        url = f"{self._access.admin_url}/admin/api/ledger"
        return int((await self._wire.must("GET", url, token=self._access.admin_token))["imbalance"])

    async def _get(self, path: str, token: str) -> dict[str, Any]:
        told: dict[str, Any] = await self._wire.must("GET", self._url(path), token=token)
        return told

    def _url(self, path: str) -> str:
        return self._access.agent_url + path
