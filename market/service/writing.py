"""The routes under /v1 that take something: letters, what providers say of their training, and signing in.

A session is a bearer token or, for browsers that ask for it, a cookie that scripts cannot read. A request that rests on
the cookie and would change something must come from one of this server's own pages: the gate looks at its Origin, and
the cookie is SameSite=Strict.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Cookie, Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, FiniteFloat

from heldout.market.artifacts.gate import client_of
from heldout.market.artifacts.throttle import Throttle
from heldout.market.errors import BadMessage, Refused
from heldout.market.jsontext import canonical_json
from heldout.market.messages import PROVEN, Letter
from heldout.market.service import shapes, turns
from heldout.market.service.answers import Answers, IdempotencyKey
from heldout.market.service.api import Job, OfJob
from heldout.market.service.describing import PROBLEMS, SIGN_IN
from heldout.market.service.holdings import Holdings
from heldout.market.service.reported import LONGEST_NAME, MOST_FIELDS, MOST_LINES
from heldout.market.service.sessions import Sessions, bearer_token
from heldout.market.service.sources import Sources
from heldout.market.terms import Address, JobId

COOKIE: Final = "heldout_session"
HOST_COOKIE: Final = f"__Host-{COOKIE}"
"""Its name under TLS (RFC 6265bis, 4.1.3.2): a browser takes it from this host alone, so no neighbour can plant one."""
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern="^[^\\x00-\\x1f\\x7f]+$")]
Line = Annotated[dict[Name, FiniteFloat], Field(min_length=1, max_length=MOST_FIELDS)]


class SignInRequest(BaseModel):
    """A signed EIP-4361 message. With `cookie` the token is set as an httpOnly cookie and not told."""

    message: str = Field(max_length=4096)
    # Counted apart from the pattern, which would take 2 MB as a program of 4,096 repetitions.
    signature: str = Field(min_length=2 + 2 * 65, max_length=2 + 2 * 4096, pattern="^0x([0-9a-fA-F]{2})+$")
    cookie: bool = False


class Report(BaseModel):
    """What a training printed, oldest line first: names and numbers, nothing else."""

    lines: list[Line] = Field(max_length=MOST_LINES)


def session_of(
    request: Request,
    authorization: Annotated[str, Header(description="`Bearer` and the token of a sign-in")] = "",
    host_cookie: Annotated[str, Cookie(alias=HOST_COOKIE, description="set by a sign-in that asked for it")] = "",
    cookie: Annotated[str, Cookie(alias=COOKIE, description="the same without TLS; not read with it")] = "",
) -> str:
    """The token of a request, wherever it is; empty without one. A header goes before a cookie."""
    if authorization:
        return bearer_token(authorization)
    return host_cookie or ("" if request.app.state.secure else cookie)


Token = Annotated[str, Depends(session_of)]


def letter_routes(sources: Sources, sessions: Sessions, answers: Answers, senders: Throttle) -> APIRouter:
    """The bid board and the mailboxes. `senders` bounds what each signed-in address sends, and what each client brings
    that needs nobody signed in: were it charged to the address in the letter, strangers could use up anybody's."""
    routes = APIRouter(prefix="/v1", tags=["letters"], responses={**PROBLEMS, **SIGN_IN})
    letters = sources.letters

    @routes.post(
        "/letters",
        response_model=shapes.Posting,
        status_code=201,
        dependencies=[turns.CHAIN],
        responses={200: {"model": shapes.Posting, "description": "it was here already"}},
    )
    def post(letter: dict[str, Any], token: Token, request: Request, key: IdempotencyKey = "") -> JSONResponse:
        """Leave a letter: a call for bids or a bid with nobody signed in, a private one as its sender. 200 if it was
        here already."""
        try:
            read = Letter.decode(canonical_json(letter))
        except (ValueError, RecursionError):
            raise BadMessage("not a letter") from None
        sender = sessions.session(token).address if token else None
        client = client_of(request.scope)
        senders.take(client if sender is None or read.kind in PROVEN else sender.lower())

        def leave() -> tuple[int, dict[str, Any]]:
            new = letters.post(read, sender)
            return (201 if new else 200), {"new": new}

        return answers.once(key, sender or client, letter, leave)

    @routes.get("/mailbox", response_model=shapes.Letters)
    def mailbox(token: Token, after: Annotated[int, Query(ge=0, lt=2**63)] = 0, job: OfJob = "") -> Any:
        """Letters to the signed-in address after number `after`, oldest first, one page."""
        return {"letters": letters.mail(sessions.session(token).address, after, JobId(job) if job else None)}

    @routes.put("/jobs/{job}/lanes/{lane}/readings", response_model=shapes.Posting)
    def report(
        job: Job,
        lane: Annotated[int, Path(ge=0, le=7)],
        said: Report,
        token: Token,
        key: IdempotencyKey = "",
    ) -> JSONResponse:
        """What the lane's own provider says of its training now, in place of what it said before."""
        address = sessions.session(token).address
        lanes = sources.reading.job(JobId(job))["lanes"]
        if lane >= len(lanes) or lanes[lane]["provider"] != address:
            raise Refused("only a lane's provider tells of its training", hint="sign in as that", code="not_a_party")
        senders.take(address.lower())

        def keep() -> tuple[int, dict[str, Any]]:
            sources.reported.replace(JobId(job), lane, said.lines)
            return 200, {"new": True}

        return answers.once(key, address, {"job": job, "lane": lane, "lines": said.lines}, keep)

    return routes


def account_routes(holdings: Holdings, sessions: Sessions, askers: Throttle) -> APIRouter:
    """What is held about who is signed in. `askers` bounds how often all of it is read or erased."""
    routes = APIRouter(prefix="/v1/account", tags=["privacy"], responses={**PROBLEMS, **SIGN_IN})

    def owner(token: Token, response: Response) -> Address:
        address = sessions.session(token).address
        askers.take(address.lower())
        response.headers["Cache-Control"] = "no-store"
        return address

    Owner = Annotated[Address, Depends(owner)]

    @routes.get("", response_model=shapes.Holdings)
    def summary(address: Owner) -> Any:
        """How much is held about the signed-in address that is not on chain."""
        return holdings.summary(address)

    @routes.get("/export", response_model=shapes.HeldPage)
    def export(address: Owner, cursor: Annotated[str, Query(max_length=120)] = "") -> Any:
        """All of it, page by page: letters as they were left (sealed to their receivers), readings, manifests."""
        return holdings.rows(address, cursor)

    @routes.delete("", response_model=shapes.Erased)
    def erase(
        address: Owner,
        live: Annotated[bool, Query(description="also of jobs that are still going on")] = False,
    ) -> Any:
        """Erase it. What is on chain stays there for ever, and so does a hash of each erased letter here."""
        return holdings.erase(address, live=live)

    return routes


def session_routes(sessions: Sessions, askers: Throttle, secure: bool) -> APIRouter:
    """Signing in (EIP-4361). `askers` bounds the nonces that one client is given; `secure` is whether TLS is on."""
    name = HOST_COOKIE if secure else COOKIE
    routes = APIRouter(prefix="/v1/auth", tags=["sign-in"], responses={**PROBLEMS, **SIGN_IN})

    @routes.post("/nonce", response_model=shapes.Nonce)
    def nonce(request: Request) -> Any:
        """A nonce for one sign-in message."""
        askers.take(client_of(request.scope))
        value, expires = sessions.nonce()
        return {"nonce": value, "expires": expires}

    @routes.post("/verify", dependencies=[turns.CHAIN], response_model=shapes.SignedIn)
    def verify(request: SignInRequest, response: Response) -> Any:
        """A signed message for a session."""
        token, expires = sessions.sign_in(request.message, bytes.fromhex(request.signature[2:]))
        session = sessions.session(token)
        if request.cookie:
            age = expires - session.began
            response.set_cookie(name, token, max_age=age, httponly=True, secure=secure, samesite="strict")
        response.headers["Cache-Control"] = "no-store"
        return {"address": session.address, "token": None if request.cookie else token, "expires": expires}

    @routes.get("/session", response_model=shapes.Session)
    def session(token: Token, response: Response) -> Any:
        """Who is signed in."""
        found = sessions.session(token)
        response.headers["Cache-Control"] = "no-store"
        return {"address": found.address, "expires": found.expires}

    @routes.delete("/session", status_code=204)
    def leave(token: Token) -> Response:
        """End the session: its token is good for nothing from now on."""
        sessions.end(token)
        answer = Response(status_code=204)
        answer.delete_cookie(name, httponly=True, secure=secure, samesite="strict")
        return answer

    return routes
