"""Circle's Programmable Wallets over REST (reference/circle.md): wallets, users, transfers, signing, notifications."""

from gateways.circle_api.facts import (
    AlreadyInitialized,
    ChallengeFacts,
    CircleTransaction,
    NotificationKey,
    SubscriptionFacts,
    TokenBalance,
    TransactionPage,
    UserFacts,
    UserToken,
    WalletFacts,
    WalletSetFacts,
)
from gateways.circle_api.gateway import CircleGateway
from gateways.circle_api.rates import Lane, Rates

__all__ = [
    "AlreadyInitialized",
    "ChallengeFacts",
    "CircleGateway",
    "CircleTransaction",
    "Lane",
    "NotificationKey",
    "Rates",
    "SubscriptionFacts",
    "TokenBalance",
    "TransactionPage",
    "UserFacts",
    "UserToken",
    "WalletFacts",
    "WalletSetFacts",
]
