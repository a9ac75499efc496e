"""problem+json (RFC 9457) for every error of the store and the service, with the codes of the one error tree."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from heldout.market.artifacts.throttle import Throttled
from heldout.market.errors import AlreadyRunning, BadInput, ChainProblem, HeldoutError, Refused, StoreProblem

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_BY_CODE = {
    "artifact_missing": 404,
    "not_found": 404,
    "length_required": 411,
    "artifact_too_large": 413,
    "too_large": 413,
    "wrong_host": 421,
    "store_full": 507,
    "too_slow": 408,
    "unsatisfiable_range": 416,
    "hash_mismatch": 422,
    "sign_in": 401,
    "conflict": 409,
    "key_reused": 422,
}
_BY_CLASS: tuple[tuple[type[HeldoutError], int], ...] = (
    (Throttled, 429),
    (BadInput, 400),
    (Refused, 403),
    (AlreadyRunning, 409),
    (ChainProblem, 503),
    (StoreProblem, 503),
)
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 408: "too_slow"}


def status_of(error: HeldoutError) -> int:
    """The HTTP status that says the same."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next((status for kind, status in _BY_CLASS if isinstance(error, kind)), 500)


def problem(error: HeldoutError) -> JSONResponse:
    """The answer to a request that failed with `error`."""
    headers = {}
    if isinstance(error, Throttled):
        headers["Retry-After"] = str(round(error.retry_after))
    if error.code == "sign_in":
        headers["WWW-Authenticate"] = "Bearer"
    return _answer(status_of(error), error.code, error.message, error.hint, error.retryable, headers)


def install(app: FastAPI) -> None:
    """Make every error of `app`, FastAPI's and Starlette's own included, a problem+json."""

    @app.exception_handler(HeldoutError)
    async def on_known(request: Request, error: HeldoutError) -> JSONResponse:
        return problem(error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _answer(422, "bad_request", f"{where}: {first['msg']}", "see /v1/openapi.json", False, {})

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "refused")
        return _answer(
            error.status_code, code, str(error.detail), "see /v1/openapi.json", False, dict(error.headers or {})
        )

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return _answer(500, "failed", "something failed here; it has been logged", "", True, {})


def _answer(status: int, code: str, detail: str, hint: str, retryable: bool, headers: dict[str, str]) -> JSONResponse:
    body = {
        "type": f"urn:heldout:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "hint": hint,
        "retryable": retryable,
    }
    return JSONResponse(body, status, headers, MEDIA_TYPE)
