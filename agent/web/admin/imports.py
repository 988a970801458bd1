"""Users from before, many at once: each row is judged for itself, and a dry run says what would happen."""

from collections.abc import Callable

from sqlalchemy import Connection

from agent.web.accounts import AddressCheck, check_wallet_address, normal_email
from agent.web.admin.import_bodies import Imported, ImportedRow, ImportRow, ImportWish
from agent.web.audit import act
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.passwords import Passwords
from domain.errors import RequestError
from ports.clock import Clock
from ports.ids import Ids
from storage.books import audit
from storage.people import users
from storage.store import Store

PROVIDERS = ("external", "web3auth")


class AdminImport:
    """One endpoint. Passwords here are random 256 bits, for which the cheapest hash is safe; it is renewed with today's
    cost when its user signs in."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, quick_passwords: Passwords, check_address: AddressCheck
    ) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._passwords, self._check_address = quick_passwords, check_address

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/admin/api/users/import",
                Access.OPERATOR,
                self.bring,
                "Bring over users from before, row by row; a dry run changes nothing",
                Imported,
                takes=ImportWish,
            )
        ]

    async def bring(self, call: Call) -> Imported:
        wish, now = call.taken(ImportWish), self._clock.now()
        passwords = {row.line: self._ids.token() for row in wish.rows}
        hashes = {} if wish.dry_run else {line: await self._passwords.hash(text) for line, text in passwords.items()}
        uuids = {row.line: str(self._ids.uuid()) for row in wish.rows}

        def bring(conn: Connection, row: ImportRow, seen: Seen) -> ImportedRow:
            former = self._former(row, uuids[row.line], hashes.get(row.line, ""))
            _require_once(former, row.line, seen)
            if _is_known(conn, former):
                return ImportedRow(line=row.line, outcome="known")
            users.require_free(conn, former)
            if wish.dry_run:
                return ImportedRow(line=row.line, outcome="new")
            user_id = users.bring_over(conn, former, now)
            audit.record(conn, act(call, "bring_over", "user", user_id), None, now)
            return ImportedRow(line=row.line, outcome="new", user_id=user_id, password=passwords[row.line])

        def bring_all(conn: Connection) -> Imported:
            seen: Seen = {}
            return Imported(rows=[_judged(conn, row, seen, bring) for row in wish.rows])

        return await (self._store.read(bring_all) if wish.dry_run else self._store.write(bring_all))

    def _former(self, row: ImportRow, uuid: str, password_hash: str) -> users.FormerUser:
        """Raises RequestError naming the field."""
        email = normal_email(row.email.strip())
        provider = row.wallet_provider.strip() or ("web3auth" if row.web3auth_sub.strip() else "external")
        if provider not in PROVIDERS:
            raise RequestError(
                422, "provider_unknown", f"wallet_provider is {' or '.join(PROVIDERS)}", "wallet_provider"
            )
        username = row.username.strip() or email.partition("@")[0]
        for name, text, most in (("username", username, 64), ("web3auth_sub", row.web3auth_sub.strip(), 255)):
            if len(text) > most or not text.isprintable():
                raise RequestError(422, "text_invalid", f"{name} is at most {most} printable characters", name)
        address = row.wallet_address.strip()
        check_wallet_address(self._check_address, address)
        account = users.NewUser(uuid, email, username, password_hash)
        return users.FormerUser(account, provider, address, row.web3auth_sub.strip() or None)


Seen = dict[tuple[str, str], int]
"""What only one account may have, and the line that has it."""
Bring = Callable[[Connection, ImportRow, Seen], ImportedRow]


def _judged(conn: Connection, row: ImportRow, seen: Seen, bring: Bring) -> ImportedRow:
    try:
        return bring(conn, row, seen)
    except RequestError as error:
        return ImportedRow(line=row.line, outcome="refused", code=error.code, message=str(error), field=error.field)


def _require_once(former: users.FormerUser, line: int, seen: Seen) -> None:
    """Raises RequestError 409 `twice` for what an earlier line of the request has."""
    for name, text in (("email", former.account.email), ("web3auth_sub", former.web3auth_sub)):
        first = line if text is None else seen.setdefault((name, text), line)
        if first != line:
            raise RequestError(409, "twice", f"line {first} has this {name} too", name)


def _is_known(conn: Connection, former: users.FormerUser) -> bool:
    """The same file again: nothing to do."""
    row = users.by_email(conn, former.account.email)
    return row is not None and row.wallet_address == former.wallet_address
