"""The OpenAPI 3.1 document, made from the registry and the models: what is served is what is described."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from apispec import APISpec
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from agent.web.endpoint import PATH_ID, Access, Endpoint
from agent.web.messages import ErrorBody

_REF = "#/components/schemas/{model}"
_SCHEME = "bearer"


def document(endpoints: Sequence[Endpoint], title: str, version: str) -> dict[str, Any]:
    """The document of one port's registry."""
    spec = APISpec(title, version, openapi_version="3.1.0")
    spec.components.security_scheme(_SCHEME, {"type": "http", "scheme": "bearer"})
    for name, schema in _schemas(endpoints).items():
        spec.components.schema(name, schema)
    by_path: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    for path, operations in by_path.items():
        spec.path(path=path, operations=operations)
    return dict(spec.to_dict())


def _schemas(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ErrorBody, "serialization"): None}
    for endpoint in endpoints:
        if endpoint.takes is not None:
            wanted[endpoint.takes, "validation"] = None
        if endpoint.answers is not None:
            wanted[endpoint.answers, "serialization"] = None
    _, definitions = models_json_schema(list(wanted), ref_template=_REF)
    return dict(definitions["$defs"])


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": _operation_id(endpoint),
        "responses": {str(endpoint.status): _success(endpoint), **_errors(endpoint)},
        "security": [] if endpoint.access is Access.PUBLIC else [{_SCHEME: []}],
    }
    parameters = [*_path_parameters(endpoint), *_query_parameters(endpoint)]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.takes is not None:
        operation["requestBody"] = {"required": True, "content": _json(endpoint.takes)}
    elif endpoint.raw:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    return operation


def _operation_id(endpoint: Endpoint) -> str:
    return "_".join([endpoint.method.lower(), *re.findall(r"[A-Za-z0-9_]+", endpoint.path)])


def _success(endpoint: Endpoint) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(endpoint.status).phrase}
    if endpoint.answers is not None:
        answer["content"] = _json(endpoint.answers)
    elif endpoint.content_type != "application/json":
        answer["content"] = {endpoint.content_type: {"schema": {"type": "string"}}}
    return answer


def _errors(endpoint: Endpoint) -> dict[str, Any]:
    body = _json(ErrorBody)
    return {str(status): {"description": HTTPStatus(status).phrase, "content": body} for status in endpoint.statuses()}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{PATH_ID}$"}}
        if name.endswith("_id")
        else {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[a-z_-]{1,32}$"}}
        for name in endpoint.parameters
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    schema = endpoint.query.model_json_schema()
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", []), "schema": field}
        for name, field in schema["properties"].items()
    ]
