"""User-controlled wallets: users, tokens, challenges (reference/circle.md, section 7)."""

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from domain.errors import Rejected
from domain.foreign_text import ID_CHARS
from gateways.answers import Json, identifier
from gateways.circle_api.client import Call, CircleRefusal, path_part, read_call
from gateways.circle_api.error_codes import CHALLENGE_ENDS, LACKING, NO_SUCH_USER, USER_ALREADY_INITIALIZED, USER_EXISTS
from gateways.circle_api.facts import (
    AlreadyInitialized,
    ChallengeFacts,
    CircleTransaction,
    UserFacts,
    UserToken,
    WalletFacts,
)
from gateways.circle_api.rates import CallClass
from gateways.circle_api.reading import CircleCalls, inner, moment

USERS = "/v1/w3s/users"
CHALLENGES = "/v1/w3s/user/challenges"
TRANSACTIONS = "/v1/w3s/transactions"


class UserCalls(CircleCalls):
    async def create_user(self, user_id: str) -> UserFacts:
        """Make the user, or find it made (409): there is no idempotency key. `user_id`: 5 to 50 characters of ours.

        The user is fetched afterwards. Raises OutcomeUnknown if the answer is lost: call again.
        """
        call = Call("create user", "POST", USERS, CallClass.WRITE, body={"userId": user_id}, has_effect=True)
        try:
            await self._client.try_call(call)
        except CircleRefusal as refusal:
            # Circle's own samples see either code here.
            if refusal.code not in (USER_EXISTS, USER_ALREADY_INITIALIZED):
                raise self._client.judge(call, refusal) from None
        return await self.fetch_user(user_id)

    async def fetch_user(self, user_id: str) -> UserFacts:
        """Rejected 155102 if there is none."""
        call = read_call("fetch user", f"{USERS}/{path_part(user_id)}")
        return await self._data(call, inner("user", UserFacts.read))

    async def users_since(self, since: datetime) -> AsyncIterator[list[str]]:
        """Pages of the ids of users made at or after `since` (whole seconds), oldest first."""
        query = {"from": moment(since), "order": "ASC"}
        call = read_call("list users", USERS, query)
        async for found, _ in self._pages(call.name, USERS, "users", query):
            yield [self._shaped(call, UserFacts.read, row).id for row in found]

    async def is_user(self, user_id: str) -> bool:
        """Whether Circle knows a user of this id."""
        call = read_call("fetch user", f"{USERS}/{path_part(user_id)}")
        try:
            await self._client.try_call(call)
        except CircleRefusal as refusal:
            if refusal.code == NO_SUCH_USER:
                return False
            raise self._client.judge(call, refusal) from None
        return True

    async def user_token(self, user_id: str) -> UserToken:
        """A fresh token for the user's client, good for 60 minutes. Changes nothing, so a lost answer is Retryable."""
        call = Call("fetch user token", "POST", f"{USERS}/token", CallClass.USER_TOKEN, body={"userId": user_id})
        return await self._data(call, UserToken.read)

    async def initialize_user(self, token: UserToken, key: UUID, blockchain: str) -> str | AlreadyInitialized:
        """The id of the challenge with which the user's client sets a PIN and gets a wallet."""
        call = Call(
            "initialize user",
            "POST",
            "/v1/w3s/user/initialize",
            CallClass.WRITE,
            body={"idempotencyKey": str(key), "accountType": "EOA", "blockchains": [blockchain]},
            user_token=token.user_token,
            has_effect=True,
        )
        try:
            answer = await self._client.try_call(call)
        except CircleRefusal as refusal:
            if refusal.code == USER_ALREADY_INITIALIZED:
                return AlreadyInitialized()
            raise self._client.judge(call, refusal) from None
        return self._shaped(call, inner("data", _challenge_id), answer)

    async def create_user_wallet(self, token: UserToken, key: UUID, blockchain: str) -> str:
        """The id of the challenge with which a user who has a PIN gets a wallet. The same key gives the same challenge:
        after OutcomeUnknown, call again with it."""
        call = Call(
            "create user's wallet",
            "POST",
            "/v1/w3s/user/wallets",
            CallClass.WRITE,
            body={"idempotencyKey": str(key), "accountType": "EOA", "blockchains": [blockchain]},
            user_token=token.user_token,
            has_effect=True,
        )
        return await self._data(call, _challenge_id)

    async def user_wallets(self, token: UserToken) -> list[WalletFacts]:
        """The wallets of the token's user, oldest first."""
        call = read_call("list user's wallets", "/v1/w3s/wallets")
        pages = self._pages(call.name, call.path, "wallets", {"order": "ASC"}, user_token=token.user_token)
        return [self._shaped(call, WalletFacts.read, row) async for found, _ in pages for row in found]

    async def user_transfer(
        self, token: UserToken, key: UUID, wallet_id: str, token_id: str, address: str, amount: str
    ) -> str:
        """The id of the challenge with which the user's PIN sends `amount` whole tokens out of his own wallet.

        Nothing moves before the PIN. The same key gives the same challenge: after OutcomeUnknown, call again with it.
        Rejected also where his wallet lacks what it takes: he has to know, and asks anew once it is there.
        """
        call = Call(
            "user transfer",
            "POST",
            "/v1/w3s/user/transactions/transfer",
            CallClass.WRITE,
            body={
                "idempotencyKey": str(key),
                "walletId": wallet_id,
                "tokenId": token_id,
                "destinationAddress": address,
                "amounts": [amount],
                "feeLevel": "MEDIUM",
            },
            user_token=token.user_token,
            has_effect=True,
        )
        try:
            answer = await self._client.try_call(call)
        except CircleRefusal as refusal:
            judged = self._client.judge(call, refusal)
            raise (Rejected(str(refusal.code), str(judged)) if refusal.code in LACKING else judged) from None
        return self._shaped(call, inner("data", _challenge_id), answer)

    async def user_transaction(self, token: UserToken, transaction_id: str) -> CircleTransaction:
        """A transaction of the token's user. Rejected 156003 if there is none."""
        path = f"{TRANSACTIONS}/{path_part(transaction_id)}"
        call = read_call("fetch user's transaction", path, user_token=token.user_token)
        return await self._data(call, inner("transaction", CircleTransaction.read))

    async def fetch_challenge(self, token: UserToken, challenge_id: str) -> ChallengeFacts:
        """Of one that Circle shows no more, its end alone."""
        path = f"{CHALLENGES}/{path_part(challenge_id)}"
        call = read_call("fetch challenge", path, user_token=token.user_token)
        try:
            answer = await self._client.try_call(call)
        except CircleRefusal as refusal:
            if refusal.code in CHALLENGE_ENDS:
                return ChallengeFacts.of_none(challenge_id, CHALLENGE_ENDS[refusal.code])
            raise self._client.judge(call, refusal) from None
        return self._shaped(call, inner("data", inner("challenge", ChallengeFacts.read)), answer)


def _challenge_id(data: Json) -> str:
    return identifier(data, "challengeId", ID_CHARS)
