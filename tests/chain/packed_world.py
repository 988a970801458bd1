"""A platform wallet with USDC on a real SVM, and recipients to pay from it."""

import struct
from uuid import UUID

from solders.account import Account
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from chain import programs
from chain.account_waves import build_wave, into_waves
from chain.nft_build import ComputeBudget
from chain.packed import build_packed
from chain.packed_plan import PackedPlan, TransactionFormat
from chain.transactions import message_bytes, with_signature
from chain.usdc_payouts import PackedTransfer, token_account
from domain.keys import receipt_seed
from tests.chain.world import PLATFORM, funded_svm

WALLET = str(PLATFORM.pubkey())
MINT = programs.USDC_MINTS["devnet"]
FUNDS = 1_000_000_000
SECRET = b"s" * 32
Result = TransactionMetadata | FailedTransactionMetadata


def an_owner(number: int) -> str:
    return str(Keypair.from_seed((1000 + number).to_bytes(32, "big")).pubkey())


def a_packed_plan(
    count: int, *, group: int = 1, packed_format: TransactionFormat = TransactionFormat.V0, memo: str = ""
) -> PackedPlan:
    transfers = tuple(PackedTransfer(an_owner(number), 10_000 + number) for number in range(count))
    return PackedPlan(WALLET, MINT, receipt_seed(SECRET, UUID(int=group)), transfers, packed_format, memo)


class PackedWorld:
    def __init__(self, owners: int = 0) -> None:
        self.svm: LiteSVM = funded_svm()
        self.rent = self.svm.minimum_balance_for_rent_exemption(programs.TOKEN_ACCOUNT_SIZE)
        mint = bytes(36) + struct.pack("<QBB", FUNDS, programs.USDC_DECIMALS, 1) + bytes(36)
        self._put(MINT, mint)
        self._put(token_account(WALLET, MINT), _token_account(WALLET, FUNDS))
        for wave in into_waves([an_owner(number) for number in range(owners)]):
            assert isinstance(self.run(build_wave(WALLET, MINT, wave, self.blockhash())), TransactionMetadata)

    def blockhash(self) -> str:
        self.svm.expire_blockhash()
        return str(self.svm.latest_blockhash())

    def wire(self, plan: PackedPlan, budget: ComputeBudget | None = None) -> bytes:
        return build_packed(
            plan,
            blockhash=self.blockhash(),
            rent_lamports=self.rent,
            receipt_lamports_now=self.lamports(plan.receipt),
            budget=budget,
        )

    def run(self, wire: bytes) -> Result:
        signed = with_signature(wire, WALLET, str(PLATFORM.sign_message(message_bytes(wire))))
        return self.svm.send_transaction(VersionedTransaction.from_bytes(signed))

    def account(self, address: str) -> Account | None:
        return self.svm.get_account(Pubkey.from_string(address))

    def lamports(self, address: str) -> int:
        account = self.account(address)
        return account.lamports if account else 0

    def usdc(self, owner: str) -> int:
        account = self.account(token_account(owner, MINT))
        return int.from_bytes(account.data[64:72], "little") if account else 0

    def freeze(self, owner: str) -> None:
        self._put(token_account(owner, MINT), _token_account(owner, self.usdc(owner), frozen=True))

    def _put(self, address: str, data: bytes) -> None:
        owner = Pubkey.from_string(programs.TOKEN)
        self.svm.set_account(Pubkey.from_string(address), Account(10 * self.rent, data, owner))


def _token_account(owner: str, amount: int, *, frozen: bool = False) -> bytes:
    keys = bytes(Pubkey.from_string(MINT)) + bytes(Pubkey.from_string(owner))
    return keys + struct.pack("<Q", amount) + bytes(36) + bytes([2 if frozen else 1]) + bytes(56)
