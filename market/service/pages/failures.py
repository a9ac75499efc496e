"""Errors for people: a page with the same code, words and hint that a program gets as problem+json."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from heldout.market.errors import HeldoutError
from heldout.market.service.pages.mounted import Pages

Handler = Callable[[Request, Any], Awaitable[Response]]


def install(app: FastAPI, pages: Pages) -> None:
    """Over heldout.market.artifacts.problems: who asks for HTML outside the API gets the same problem as a page."""
    for kind in (HeldoutError, RequestValidationError, HTTPException, Exception):
        told: Any = app.exception_handlers[kind]
        app.add_exception_handler(kind, _for_people(told, pages))


def _for_people(told: Handler, pages: Pages) -> Handler:
    async def tell(request: Request, error: Exception) -> Response:
        answer = await told(request, error)
        wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")
        if not wants_page:
            return answer
        problem = json.loads(bytes(answer.body))
        page = pages.site.page("error.html", status=answer.status_code, problem=problem, here="", block=None, now=0)
        for name in ("retry-after", "www-authenticate"):
            if name in answer.headers:
                page.headers[name] = answer.headers[name]
        return page

    return tell
