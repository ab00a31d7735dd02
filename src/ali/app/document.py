"""The OpenAPI document: what FastAPI knows, the hot operations, and what each operation asks for."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ali.features.chat.openapi import error_schemas, hot_paths
from ali.features.idempotency import describe_keys
from ali.features.identity.http.access import operations_of


def describe(api: FastAPI) -> None:
    """Put the hot operations and each operation's permission into the OpenAPI document, beside what FastAPI knows."""

    def document() -> dict[str, Any]:
        if api.openapi_schema is None:
            schema = get_openapi(title=api.title, version=api.version, routes=api.routes)
            for method, path, asked in operations_of(api.routes):
                described = schema["paths"].get(path, {}).get(method.lower())
                if described is not None and asked:
                    described["x-ali-permission"] = ", ".join(sorted(permission.value for permission in asked))
            for path, item in hot_paths().items():
                schema["paths"].setdefault(path, {}).update(item)
            describe_keys(schema["paths"])
            schema.setdefault("components", {}).setdefault("schemas", {}).update(error_schemas())
            api.openapi_schema = schema
        return api.openapi_schema

    api.openapi = document  # type: ignore[method-assign] # FastAPI's documented way to extend the document
