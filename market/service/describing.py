"""The OpenAPI description: every answer that can come, errors included, each with its schema and media type."""

from typing import Any, Final

from fastapi import FastAPI

from heldout.market.artifacts.problems import MEDIA_TYPE
from heldout.market.service.shapes import Problem

_WHEN: Final = {
    400: "the request's words make no sense",
    403: "this address, or this page's origin, may not",
    404: "there is no such thing, or not yet",
    408: "the request's body stopped arriving",
    411: "the request does not say how long its body is",
    413: "the request's body is too large",
    421: "this server does not go by that name",
    422: "a parameter or the body has not the form that is described here",
    429: "too fast: Retry-After says how long to wait",
    500: "a fault of the service",
    503: "the chain or a store does not answer",
}
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "description": why} for status, why in _WHEN.items()
}
SIGN_IN: Final[dict[int | str, dict[str, Any]]] = {401: {"model": Problem, "description": "not signed in"}}


def describe(app: FastAPI) -> None:
    """Errors are problem+json and a tagged GET may be answered 304; FastAPI's own description knows neither."""
    plain = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            for path, methods in schema["paths"].items():
                for method, operation in methods.items():
                    _complete(path, method, operation["responses"])
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]


def _complete(path: str, method: str, responses: dict[str, Any]) -> None:
    for status in ("421", "429", "503"):
        schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
        responses.setdefault(status, {"description": _WHEN[int(status)], "content": {MEDIA_TYPE: schema}})
    for status, answer in responses.items():
        if int(status) >= 400 and "application/json" in answer.get("content", {}):
            answer["content"] = {MEDIA_TYPE: answer["content"]["application/json"]}
        if status == "429":
            answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    if method == "get" and path != "/v1/events":
        responses["304"] = {"description": "as the client has it: If-None-Match names its ETag"}
