"""What Prometheus reads, and that no caller can make its labels grow without end."""

import math
import re
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from metrics import CONTENT_TYPE, Metrics
from metrics.families import NAMESPACE

SERVICES = {"api.circle.com": "circle", "api.stripe.com": "stripe", "node.example": "rpc"}


def samples(metrics: Metrics) -> list[Sample]:
    families = text_string_to_metric_families(metrics.render().decode())
    return [sample for family in families for sample in family.samples]


def values(metrics: Metrics) -> Callable[..., float]:
    """Reads one value by the sample's name, without our prefix, and its label values in any order; there must be
    exactly one."""
    found = [one._replace(name=one.name.removeprefix(f"{NAMESPACE}_")) for one in samples(metrics)]

    def read(name: str, *labels: str) -> float:
        fitting = [one for one in found if one.name == name and sorted(one.labels.values()) == sorted(labels)]
        assert len(fitting) == 1, (name, labels, fitting)
        return float(fitting[0].value)

    return read


def test_what_happened_is_counted_under_its_name() -> None:
    metrics = Metrics(SERVICES)
    metrics.step_finished("mint", "done", 0.3)
    metrics.webhook("stripe", "stored", 40)
    metrics.answered("POST", 200)
    metrics.http_call("api.circle.com", "2xx", 0.2)
    metrics.rpc_call("rpc2 (node.example)", "getSlot", 0.05, "error")
    metrics.rpc_disbelieved("rpc2 (node.example)")
    metrics.store_used("write", 0.004, False)
    metrics.loop_was_late(0.02)
    metrics.gate_open(True)
    found = values(metrics)
    assert found("step_runs_total", "mint", "done") == 1
    assert found("step_seconds_sum", "mint") == 0.3
    assert found("webhook_deliveries_total", "stripe", "stored") == 40
    assert found("http_answers_total", "POST", "200") == 1
    assert found("outgoing_requests_total", "circle", "2xx") == 1
    assert found("rpc_calls_total", "2", "getSlot", "error") == 1
    assert found("rpc_disbelieved_answers_total", "2") == 1
    assert found("store_transaction_seconds_count", "write") == 1
    assert found("store_failures_total", "write") == 1
    assert found("event_loop_lag_seconds_sum") == 0.02
    assert found("start_gate_open") == 1


def test_a_host_that_holds_a_providers_key_is_never_a_label() -> None:
    metrics = Metrics(SERVICES)
    metrics.http_call("my-secret-key.rpc.example", "timeout", 10.0)
    metrics.rpc_call("rpc1 (my-secret-key.rpc.example)", "getSlot", 0.1, "ok")
    assert b"secret" not in metrics.render()
    assert values(metrics)("outgoing_requests_total", "other", "timeout") == 1


def test_labels_from_outside_never_make_more_than_a_bounded_number_of_series() -> None:
    metrics = Metrics()
    for number in range(2_000):
        metrics.step_finished(f"kind{number}", f"outcome{number}", 0.1)
        metrics.webhook(f"source{number}", f"code{number}")
        metrics.answered(f"VERB{number}", 200 + number)
        metrics.rpc_call(f"rpc{number} (x)", f"method{number}", 0.1, "ok")
        metrics.state_changed(f"machine{number}", f"state{number}", 1)
        metrics.queue({(f"kind{number}", "due"): (1, 1.0)}, {})
    metrics.webhook("stripe", 'line\n"break', 3)
    names = [sample.name for sample in samples(metrics)]
    assert max(names.count(name) for name in set(names) if not name.endswith("_bucket")) < 1_000
    assert len(names) < 8_000
    assert b"line" not in metrics.render()


def test_a_balance_that_was_never_read_is_no_zero() -> None:
    metrics = Metrics()
    found = values(metrics)
    assert math.isnan(found("platform_usdc_base_units"))
    assert math.isnan(found("platform_usdc_below_threshold"))
    assert math.isnan(found("treasury_gap_units", "usdc_base_units"))
    metrics.platform_usdc(499_999_999, 3.0, 500_000_000)
    assert values(metrics)("platform_usdc_below_threshold") == 1
    metrics.platform_usdc(500_000_000, 3.0, 500_000_000)
    assert values(metrics)("platform_usdc_below_threshold") == 0
    metrics.platform_usdc(None, 0.0, 500_000_000)
    assert math.isnan(values(metrics)("platform_usdc_below_threshold"))


def test_what_the_database_never_told_is_no_zero_that_an_alert_takes_for_bad() -> None:
    found = values(Metrics())
    for name in ("stripe_webhook_enabled", "stripe_balance_cents", "reconciliation_timestamp_seconds"):
        assert math.isnan(found(name)), name


def test_every_service_that_is_called_has_a_label_of_its_own() -> None:
    metrics = Metrics({"api-sandbox.circle.com": "circle_mint", "chat.example": "chat"})
    metrics.http_call("api-sandbox.circle.com", "2xx", 0.1)
    metrics.http_call("chat.example", "2xx", 0.1)
    found = values(metrics)
    assert (
        found("outgoing_requests_total", "circle_mint", "2xx") == found("outgoing_requests_total", "chat", "2xx") == 1
    )


def test_a_queue_that_emptied_shows_zero_and_does_not_keep_its_last_figure() -> None:
    metrics = Metrics()
    metrics.queue({("mint", "parked"): (3, 900.0), ("mint", "due"): (1, 5.0)}, {"mint": 4.0})
    metrics.queue({}, {})
    found = values(metrics)
    assert found("queue_rows", "mint", "parked") == 0
    assert found("queue_oldest_age_seconds", "mint", "parked") == 0
    assert found("queue_overdue_seconds", "mint") == 0


def test_series_that_alerts_look_at_are_there_before_anything_happened() -> None:
    found = values(Metrics())
    for name in ("wallet_creations_total", "mints_total", "payouts_total"):
        assert found(name, "success") == found(name, "failure") == 0
    assert found("network_cost_lamports_sum", "mint") == found("network_cost_lamports_sum", "payout") == 0
    assert found("process_start_time_seconds") > 0, "DaemonRestarts counts its changes"
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_every_name_carries_its_unit_and_follows_the_conventions() -> None:
    units = (
        "_total",
        "_seconds",
        "_base_units",
        "_lamports",
        "_cents",
        "_rows",
        "_units",
        "_info",
        "_bytes",
        "_slots",
        "_ratio",
        "_connections",
    )
    plain = {
        "start_gate_open",
        "sends_paused",
        "orders_held",
        "chain_websocket_connected",
        "rpc_endpoint_well",
        "chain_trouble",
        "chain_transaction_version",
        "chain_usdc_decimals",
        "chain_usdc_frozen",
        "orphan_outflows",
        "chain_websocket_connections",
        "rpc_endpoint_error_ratio",
        "reconciliation_findings",
        "stripe_webhook_enabled",
        "platform_usdc_below_threshold",
        "key_refused",
        "purchases_waiting_for_wallet",
        "purchases_waiting_for_wallet_too_long",
    }
    families = list(text_string_to_metric_families(Metrics().render().decode()))
    ours = [family for family in families if not family.name.startswith("process_")]
    assert len(ours) > 30
    for family in ours:
        assert family.name.startswith(f"{NAMESPACE}_"), family.name
        bare = family.name.removeprefix(f"{NAMESPACE}_")
        assert re.fullmatch("[a-z_]+", bare)
        assert family.documentation.endswith((".", "settings allow."))
        assert family.type == "counter" or family.name.endswith(units) or bare in plain, bare


def test_two_registries_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.answered("GET", 200)
    assert b"_http_answers_total{" in one.render()
    assert b"_http_answers_total{" not in other.render()
