"""/v1/webhook_endpoints"""

from sandbox.stripe_service import params as p
from sandbox.stripe_service.books import Json, Table
from sandbox.stripe_service.errors import bad_param, missing
from sandbox.stripe_service.forms import Form, FormValue
from sandbox.stripe_service.listing import page
from sandbox.stripe_service.metadata import METADATA_ONLY, merge
from sandbox.stripe_service.routes import Route
from sandbox.stripe_service.shapes import webhook_endpoint
from sandbox.stripe_service.webhooks import Endpoint
from sandbox.stripe_service.world import World

PATH = "/v1/webhook_endpoints"
ENDPOINTS_MAX = 16
"""Stripe's bound per account."""


def _event_name(value: FormValue, name: str) -> str:
    """`*` or a full event name; partial wildcards are for the events list only."""
    if isinstance(value, str) and (value == "*" or ("." in value and "*" not in value)):
        return value
    raise bad_param(f"Invalid {name}: must be an event type or *", name)


CREATE: p.Fields = {
    **METADATA_ONLY,
    "api_version": p.text(40),
    "connect": p.choice("false"),
    "description": p.text(blank=True),
    "enabled_events": p.array_of(_event_name, 500),
    "url": p.url,
}
UPDATE: p.Fields = {
    **METADATA_ONLY,
    "description": p.text(blank=True),
    "disabled": p.boolean,
    "enabled_events": p.array_of(_event_name, 500),
    "url": p.url,
}


class EndpointsApi:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        return [
            Route("POST", PATH, "webhook", self.create),
            Route("GET", PATH, "webhook", self.list_all),
            Route("GET", PATH + "/{id}", "webhook", self.retrieve),
            Route("POST", PATH + "/{id}", "webhook", self.update),
            Route("DELETE", PATH + "/{id}", "webhook", self.delete),
        ]

    def create(self, form: Form) -> Json:
        values = p.read(form, CREATE, ["enabled_events", "url"])
        if len(self._world.post_office.endpoints) >= ENDPOINTS_MAX:
            raise bad_param(f"You have reached the maximum of {ENDPOINTS_MAX} test webhook endpoints.", "url")
        return webhook_endpoint(self._world.add_endpoint(values), with_secret=True)

    def list_all(self, form: Form) -> Json:
        values = p.read(form, p.PAGE)
        table = Table("webhook_endpoint")
        for endpoint in self._world.post_office.endpoints.values():
            table.add(webhook_endpoint(endpoint, with_secret=False))
        return page(table, values, PATH)

    def retrieve(self, form: Form, endpoint_id: str) -> Json:
        p.read(form, {})
        return webhook_endpoint(self._found(endpoint_id), with_secret=False)

    def update(self, form: Form, endpoint_id: str) -> Json:
        values = p.read(form, UPDATE)
        endpoint = self._found(endpoint_id)
        row = {"metadata": endpoint.metadata}
        merge(row, values)
        endpoint.metadata = row["metadata"]
        endpoint.url = values.get("url", endpoint.url)
        endpoint.description = values.get("description", endpoint.description)
        endpoint.enabled_events = values.get("enabled_events", endpoint.enabled_events)
        if "disabled" in values:
            endpoint.status = "disabled" if values["disabled"] else "enabled"
        return webhook_endpoint(endpoint, with_secret=False)

    def delete(self, form: Form, endpoint_id: str) -> Json:
        p.read(form, {})
        self._found(endpoint_id)
        del self._world.post_office.endpoints[endpoint_id]
        return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}

    def _found(self, endpoint_id: str) -> Endpoint:
        endpoint = self._world.post_office.endpoints.get(endpoint_id)
        if endpoint is None:
            raise missing("webhook_endpoint", endpoint_id, "webhook_endpoint")
        return endpoint
