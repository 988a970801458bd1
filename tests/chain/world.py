"""A platform wallet, a buyer and a real SVM to run the mint on."""

from dataclasses import dataclass, field

from solders.account import Account
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from chain.nft import ComputeBudget, NftPlan, build_mint, mint_rent_size
from chain.transactions import message_bytes, with_signature

SOL = 1_000_000_000
PLATFORM = Keypair.from_seed(bytes([1] * 32))
BUYER = Keypair.from_seed(bytes([2] * 32))
STRANGER = Keypair.from_seed(bytes([3] * 32))


def a_plan(seed: str = "5f" * 16, name: str = "Sunrise #7", uri: str = "ipfs://bafybeigdyrzt5") -> NftPlan:
    return NftPlan.derived(
        seed=seed,
        platform_wallet=str(PLATFORM.pubkey()),
        buyer=str(BUYER.pubkey()),
        name=name,
        symbol="RNB",
        uri=uri,
    )


def funded_svm() -> LiteSVM:
    svm = LiteSVM().with_blockhash_check(False).with_transaction_history(0)
    for wallet in (PLATFORM, STRANGER):
        svm.airdrop(wallet.pubkey(), 10 * SOL)
    return svm


@dataclass
class World:
    svm: LiteSVM = field(default_factory=funded_svm)

    def wire(self, plan: NftPlan, budget: ComputeBudget | None = None) -> bytes:
        return build_mint(
            plan,
            blockhash=str(self.svm.latest_blockhash()),
            rent_lamports=self.svm.minimum_balance_for_rent_exemption(mint_rent_size(plan)),
            mint_lamports_now=self.lamports(plan.mint_address),
            budget=budget,
        )

    def sign(self, wire: bytes, key: Keypair = PLATFORM) -> bytes:
        return with_signature(wire, str(key.pubkey()), str(key.sign_message(message_bytes(wire))))

    def run(self, signed: bytes) -> TransactionMetadata | FailedTransactionMetadata:
        return self.svm.send_transaction(VersionedTransaction.from_bytes(signed))

    def mint(
        self, plan: NftPlan, budget: ComputeBudget | None = None
    ) -> TransactionMetadata | FailedTransactionMetadata:
        return self.run(self.sign(self.wire(plan, budget)))

    def account(self, address: str) -> Account | None:
        return self.svm.get_account(Pubkey.from_string(address))

    def lamports(self, address: str) -> int:
        account = self.account(address)
        return account.lamports if account else 0
