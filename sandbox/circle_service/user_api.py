"""Users, their tokens and challenges."""

from sandbox.circle_service.calls import Call, Reply
from sandbox.circle_service.custody import Custody
from sandbox.circle_service.errors import metadata_length, pin_already_set, pin_not_set, user_initialized, wrong_state
from sandbox.circle_service.fields import path_id
from sandbox.circle_service.paging import page
from sandbox.circle_service.sign_api import Work, read_message, read_transaction, read_wallet
from sandbox.circle_service.transfer_api import plan, read_order, start
from sandbox.circle_service.users import ENABLED, UNSET, Challenge, EndUser
from sandbox.circle_service.wallet_api import COUNT_MAX, read_labels, require_solana
from sandbox.circle_service.wallets import Label

USER_ID_MIN = 5
USER_ID_MAX = 50


def create_user(custody: Custody, call: Call) -> Reply:
    return Reply(201, custody.users.create(_read_user_id(call)).view())


def create_token(custody: Custody, call: Call) -> Reply:
    return Reply(200, custody.users.issue_token(custody.users.get(_read_user_id(call))))


def get_user(custody: Custody, call: Call) -> Reply:
    """By the user's own token: the user stands directly under `data`."""
    return Reply(200, custody.user(call).view())


def get_user_by_id(custody: Custody, call: Call) -> Reply:
    return Reply(200, {"user": custody.users.get(call.params[0]).view()})


def list_users(custody: Custody, call: Call) -> Reply:
    statuses = ("ENABLED", "UNSET", "LOCKED")
    pin = call.query.choice("pinStatus", statuses)
    questions = call.query.choice("securityQuestionStatus", statuses)
    call.query.done()
    users = [
        user
        for user in custody.users.all()
        if (pin is None or user.pin == pin) and (questions is None or user.questions == questions)
    ]
    return Reply(200, {"users": [user.view() for user in page(call.query, users)]})


def initialize(custody: Custody, call: Call) -> Reply:
    """A challenge to set the PIN and make the first wallets."""
    user = custody.user(call)
    blockchains, count, labels = _read_wallets(custody, call)
    if (earlier := custody.replay(call, user)) is not None:
        return earlier
    if user.pin == ENABLED:
        raise user_initialized()

    def run() -> list[str]:
        if user.pin == ENABLED:
            raise user_initialized()
        user.pin = user.questions = ENABLED
        return _make_wallets(custody, user, blockchains, count, labels)

    return _challenge(custody, call, custody.challenges.create(user, "INITIALIZE", run))


def create_wallets(custody: Custody, call: Call) -> Reply:
    user = custody.user(call)
    blockchains, count, labels = _read_wallets(custody, call)
    if (earlier := custody.replay(call, user)) is not None:
        return earlier
    _require_pin(user)

    def run() -> list[str]:
        return _make_wallets(custody, user, blockchains, count, labels)

    return _challenge(custody, call, custody.challenges.create(user, "CREATE_WALLET", run))


def set_pin(custody: Custody, call: Call) -> Reply:
    return _pin(custody, call, "SET_PIN")


def change_pin(custody: Custody, call: Call) -> Reply:
    return _pin(custody, call, "CHANGE_PIN")


def restore_pin(custody: Custody, call: Call) -> Reply:
    return _pin(custody, call, "RESTORE_PIN")


def transfer(custody: Custody, call: Call) -> Reply:
    user = custody.user(call)
    custody.read_key(call)
    order = read_order(custody, call, "walletAddress")
    if (earlier := custody.replay(call, user)) is not None:
        return earlier
    _require_pin(user)
    planned = plan(custody, order, user.id)

    def run() -> list[str]:
        return [start(custody, planned).id]

    return _challenge(custody, call, custody.challenges.create(user, "CREATE_TRANSACTION", run))


def refuse_on_solana(custody: Custody, call: Call) -> Reply:
    """Cancel and accelerate, the user's way."""
    user = custody.user(call)
    custody.read_key(call)
    call.fields.done()
    custody.transactions.get(path_id(call.params[0]), user.id)
    raise wrong_state()


def sign_transaction(custody: Custody, call: Call) -> Reply:
    return _sign(custody, call, "SIGN_TRANSACTION", read_transaction(custody, call))


def sign_message(custody: Custody, call: Call) -> Reply:
    return _sign(custody, call, "SIGN_MESSAGE", read_message(call))


def list_challenges(custody: Custody, call: Call) -> Reply:
    status = call.query.text("status")
    challenges = page(call.query, custody.challenges.of(custody.user(call)))
    return Reply(
        200, {"challenges": [found.view() for found in challenges if status is None or found.status == status]}
    )


def get_challenge(custody: Custody, call: Call) -> Reply:
    found = custody.challenges.get(path_id(call.params[0]), custody.user(call))
    return Reply(200, {"challenge": found.view()})


def _read_user_id(call: Call) -> str:
    user_id = call.fields.text("userId", required=True)
    call.fields.check(
        "userId",
        lambda text: USER_ID_MIN <= len(text) <= USER_ID_MAX,
        "length_outside_bounds",
        f"must have {USER_ID_MIN} to {USER_ID_MAX} characters",
    )
    call.fields.done()
    return user_id or ""


def _read_wallets(custody: Custody, call: Call) -> tuple[list[str], int, list[Label]]:
    custody.read_key(call)
    blockchains = call.fields.texts("blockchains", required=True)
    account_type = call.fields.choice("accountType", ("EOA", "SCA"))
    count = call.fields.integer("count", 1, 1, COUNT_MAX)
    labels = read_labels(call.fields)
    call.fields.done()
    require_solana(custody, call, blockchains, account_type)
    if labels and len(labels) != count:
        raise metadata_length()
    return blockchains, count, labels


def _make_wallets(
    custody: Custody, user: EndUser, blockchains: list[str], count: int, labels: list[Label]
) -> list[str]:
    wallet_set = custody.wallets.set_of_user(user.id)
    return [
        wallet.id
        for blockchain in blockchains
        for wallet in custody.wallets.create(wallet_set, blockchain, count, labels)
    ]


def _pin(custody: Custody, call: Call, kind: str) -> Reply:
    user = custody.user(call)
    custody.read_key(call)
    call.fields.done()
    if (earlier := custody.replay(call, user)) is not None:
        return earlier
    if kind == "SET_PIN" and user.pin != UNSET:
        raise pin_already_set()
    if kind != "SET_PIN":
        _require_pin(user)

    def run() -> list[str]:
        user.pin = ENABLED
        return []

    return _challenge(custody, call, custody.challenges.create(user, kind, run))


def _sign(custody: Custody, call: Call, kind: str, work: Work) -> Reply:
    """Circle hands the signature to the user's client; here the private control shows it."""
    user = custody.user(call)
    wallet = read_wallet(custody, call, user)
    _require_pin(user)
    wallet.must_be_live()

    def run() -> list[str]:
        challenge.result = work(wallet)
        return []

    challenge = custody.challenges.create(user, kind, run)
    return Reply(200, {"challengeId": challenge.id})


def _require_pin(user: EndUser) -> None:
    if user.pin != ENABLED:
        raise pin_not_set()


def _challenge(custody: Custody, call: Call, challenge: Challenge) -> Reply:
    return custody.created(call, lambda: {"challengeId": challenge.id}, challenge.user)
