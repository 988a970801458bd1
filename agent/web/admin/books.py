"""The books on the operator's port: balances by account, and the entries behind them."""

from agent.web.books_bodies import (
    AccountBalance,
    EntryPage,
    EntryQuery,
    LedgerEntry,
    LedgerPage,
    LedgerQuery,
    PostingLine,
)
from agent.web.endpoint import Access, Call, Endpoint
from storage.reading import operator_views
from storage.store import Store


class AdminBooks:
    """Endpoints under /admin/api/ledger. The books are only looked at."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def endpoints(self) -> list[Endpoint]:
        viewer, root = Access.VIEWER, "/admin/api/ledger"
        return [
            Endpoint("GET", root, viewer, self.balances, "The books by account", LedgerPage, query=LedgerQuery),
            Endpoint(
                "GET",
                f"{root}/entries",
                viewer,
                self.entries,
                "Ledger entries with their postings, newest first",
                EntryPage,
                query=EntryQuery,
            ),
        ]

    async def balances(self, call: Call) -> LedgerPage:
        asked = call.asked(LedgerQuery)
        imbalance, rows = await self._store.read(
            lambda conn: operator_views.ledger_page(conn, asked.after, asked.limit)
        )
        accounts = {row.account for row in rows}
        return LedgerPage(
            imbalance=imbalance,
            balances=[AccountBalance(account=row.account, asset=row.asset, amount=row.amount) for row in rows],
            next=max(accounts) if len(accounts) == asked.limit else None,
        )

    async def entries(self, call: Call) -> EntryPage:
        asked = call.asked(EntryQuery)
        found = await self._store.read(
            lambda conn: operator_views.entries_page(conn, asked.subject, asked.before, asked.limit)
        )
        return EntryPage(
            items=[
                LedgerEntry(
                    id=one.entry.id,
                    key=one.entry.key,
                    kind=one.entry.kind,
                    subject=one.entry.subject,
                    created_at=one.entry.created_at,
                    postings=[
                        PostingLine(account=line.account, asset=line.asset, amount=line.amount) for line in one.postings
                    ],
                )
                for one in found
            ],
            next=found[-1].entry.id if len(found) == asked.limit else None,
        )
