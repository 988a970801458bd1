"""Transfers and signatures of developer-controlled wallets (reference/circle.md, sections 4 and 5)."""

import base64
import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.errors import OutcomeUnknown, PaymentSystemError
from gateways.answers import Json, ShapeError, rows, text
from gateways.circle_api.client import Call, path_part, read_call
from gateways.circle_api.facts import CircleTransaction, TransactionPage, UserToken
from gateways.circle_api.rates import CallClass, Lane
from gateways.circle_api.reading import CircleCalls, inner, moment
from ports.clock import SendWindow

TRANSACTIONS = "/v1/w3s/transactions"
_SIGNATURE = re.compile(r"[1-9A-HJ-NP-Za-km-z]{64,88}", re.ASCII)
"""Base58 of 64 bytes."""


class TransferCalls(CircleCalls):
    async def submit_transfer(
        self, key: UUID, body_fields: Mapping[str, Any], window: SendWindow | None = None
    ) -> CircleTransaction:
        """Order a transfer, or find the one that this key ordered before; as fetched afterwards.

        `body_fields` are the saved business fields in Circle's names (walletId, tokenId, destinationAddress, amounts,
        feeLevel, refId); key and ciphertext are added here. Compare amounts, destination, wallet and reference: with a
        replayed key Circle may answer with an older transfer. After OutcomeUnknown, call again with the same key and
        fields; `Rejected` says that *this* request did nothing, and `AccessRefused` nothing about an earlier one.
        """
        call = Call(
            "submit transfer",
            "POST",
            "/v1/w3s/developer/transactions/transfer",
            CallClass.WRITE,
            body={**body_fields, "idempotencyKey": str(key)},
            has_effect=True,
            takes_secret=True,
            window=window,
            for_platform=True,
        )
        transaction_id = await self._data(call, _id)
        try:
            return await self.fetch_transaction(transaction_id)
        except PaymentSystemError as error:
            raise OutcomeUnknown(f"Circle: transfer {transaction_id} is ordered but can't be read: {error}") from error

    async def fetch_transaction(self, transaction_id: str) -> CircleTransaction:
        """Inbound or outbound. Rejected 156003 if there is none."""
        call = read_call("fetch transaction", f"{TRANSACTIONS}/{path_part(transaction_id)}")
        return await self._data(call, inner("transaction", CircleTransaction.read))

    async def list_transactions(
        self,
        wallet_id: str,
        since: datetime,
        cursor: str | None = None,
        tx_type: str = "OUTBOUND",
        *,
        destination: str | None = None,
    ) -> AsyncIterator[TransactionPage]:
        """Pages of the wallet's transactions created at or after `since` (whole seconds), oldest first, in every state.

        Circle has no filter by reference: to find a lost transfer, compare `ref_id` here. `destination`: to that
        address only.
        """
        query = {
            "walletIds": wallet_id,
            "txType": tx_type,
            "from": moment(since),
            "includeAll": "true",
            "order": "ASC",
        }
        if destination is not None:
            query["destinationAddress"] = destination
        call = read_call("list transactions", TRANSACTIONS, query)
        async for found, following in self._pages(call.name, TRANSACTIONS, "transactions", query, cursor=cursor):
            read = tuple(self._shaped(call, CircleTransaction.read, row) for row in found)
            yield TransactionPage(read, following)

    async def find_inbound(
        self, wallet_id: str, signature: str, token: UserToken | None = None
    ) -> CircleTransaction | None:
        """What Circle lists as come into the wallet by this transaction of the chain, if it lists it (yet). `token`: of
        the wallet's user, for a wallet that a user controls."""
        query = {"walletIds": wallet_id, "txType": "INBOUND", "txHash": signature, "includeAll": "true"}
        call = read_call("find inbound", TRANSACTIONS, query, None if token is None else token.user_token)
        found = await self._data(call, lambda data: rows(data, "transactions"))
        read = [self._shaped(call, CircleTransaction.read, row) for row in found]
        mine = [one for one in read if (one.wallet_id, one.tx_hash) == (wallet_id, signature)]
        return mine[0] if mine else None

    async def sign_transaction(self, wallet_id: str, raw_wire: bytes, memo: str, lane: Lane) -> str:
        """The wallet's signature, in base58, of a whole wire transaction with its signature slots.

        Circle signs and does not send; a repeated call gives the same signature, so a lost answer is Retryable. Check
        the signature against the message and put it into its slot yourself. `memo` is for Circle's console.
        """
        call = Call(
            "sign transaction",
            "POST",
            "/v1/w3s/developer/sign/transaction",
            CallClass.SIGN,
            body={"walletId": wallet_id, "rawTransaction": base64.b64encode(raw_wire).decode(), "memo": memo},
            takes_secret=True,
            favoured=lane is Lane.MINT,
            for_platform=True,
        )
        return await self._data(call, _signature)


def _id(data: Json) -> str:
    return text(data, "id")


def _signature(data: Json) -> str:
    signature = text(data, "signature")
    if not _SIGNATURE.fullmatch(signature):
        raise ShapeError("'signature' is not base58 of 64 bytes")
    return signature
