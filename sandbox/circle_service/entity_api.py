"""The account's configuration, and the webhooks' (v2)."""

from sandbox.circle_service.calls import Call, Reply
from sandbox.circle_service.custody import Custody
from sandbox.circle_service.errors import forbidden, no_such_route
from sandbox.circle_service.faucet import give
from sandbox.circle_service.fields import path_id
from sandbox.circle_service.notifications import TYPES, Subscription, endpoint_allowed

DRIP_USDC_BASE_UNITS = 20_000_000
DRIP_LAMPORTS = 1_000_000_000
"""What Circle's faucet gives at a time, about."""


def get_public_key(custody: Custody, _call: Call) -> Reply:
    return Reply(200, {"publicKey": custody.entity.public_key_pem})


def get_entity(custody: Custody, _call: Call) -> Reply:
    return Reply(200, {"appId": custody.entity.app_id})


def register_secret(custody: Custody, call: Call) -> Reply:
    ciphertext = custody.read_ciphertext(call)
    call.fields.done()
    return Reply(200, {"recoveryFile": custody.entity.register(ciphertext or "")})


def monitored_tokens(_custody: Custody, _call: Call) -> Reply:
    """None are configured, so everything is monitored."""
    return Reply(204, None)


def drip(custody: Custody, call: Call) -> Reply:
    if not custody.switches.faucet_drips:
        raise forbidden()
    address = call.fields.text("address", required=True) or ""
    native, usdc = call.fields.boolean("native"), call.fields.boolean("usdc")
    call.fields.done()
    give(custody.chain, address, DRIP_USDC_BASE_UNITS if usdc else 0, DRIP_LAMPORTS if native else 0)
    return Reply(204, None)


def create_subscription(custody: Custody, call: Call) -> Reply:
    endpoint = call.fields.text("endpoint", required=True)
    call.fields.check("endpoint", endpoint_allowed, "invalid_value", "must be a public HTTPS URL")
    types = call.fields.texts("notificationTypes")
    for name in types:
        if name not in TYPES:
            call.fields.fail("notificationTypes", "invalid_value", "has an unknown type")
    call.fields.done()
    return Reply(200, custody.notifier.subscribe(endpoint or "", types).view())


def list_subscriptions(custody: Custody, _call: Call) -> Reply:
    """A bare array under `data`."""
    return Reply(200, [found.view() for found in custody.notifier.subscriptions.values()])


def get_subscription(custody: Custody, call: Call) -> Reply:
    return Reply(200, _subscription(custody, call).view())


def update_subscription(custody: Custody, call: Call) -> Reply:
    found = _subscription(custody, call)
    name = call.fields.text("name", required=True)
    enabled = call.fields.boolean("enabled")
    if enabled is None:
        call.fields.fail("enabled", "required", "may not be empty")
    call.fields.done()
    custody.notifier.update(found, name or "", enabled=bool(enabled))
    return Reply(200, found.view())


def delete_subscription(custody: Custody, call: Call) -> Reply:
    custody.notifier.unsubscribe(_subscription(custody, call))
    return Reply(204, None)


def get_notification_key(custody: Custody, call: Call) -> Reply:
    if path_id(call.params[0]) != custody.notifier.signer.id:
        raise no_such_route()
    return Reply(200, custody.notifier.signer.view())


def _subscription(custody: Custody, call: Call) -> Subscription:
    found = custody.notifier.subscriptions.get(path_id(call.params[0]))
    if found is None:
        raise no_such_route()
    return found
