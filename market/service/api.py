"""The routes under /v1. Nothing here can move money: what is said is read from the index, what is taken are letters."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse

from heldout.market.artifacts.gate import client_of
from heldout.market.artifacts.throttle import Throttle
from heldout.market.errors import BadMessage
from heldout.market.jsontext import canonical_json
from heldout.market.messages import Letter
from heldout.market.service.feed import Feed
from heldout.market.service.filters import filters_of
from heldout.market.service.letters import Letters
from heldout.market.service.reading import BEGINNING, EVENT_PAGE, PAGE, JobFilter, Reading, parse_place
from heldout.market.service.sessions import Sessions
from heldout.market.settings import Network
from heldout.market.terms import JobId

Job = Annotated[str, Path(pattern="^0x[0-9a-f]{64}$", description="id of a job")]
OfJob = Annotated[str, Query(pattern="^(0x[0-9a-f]{64})?$", description="only this job")]
AddressFilter = Annotated[str, Query(pattern="^(0x[0-9a-fA-F]{40})?$")]
Authorization = Annotated[str, Header(description="`Bearer` and the token of a sign-in")]


class SignInRequest(BaseModel):
    """A signed EIP-4361 message."""

    message: str = Field(max_length=4096)
    signature: str = Field(pattern="^0x([0-9a-fA-F]{2}){65,4096}$")


def read_routes(reading: Reading, feed: Feed, network: Network) -> APIRouter:
    """Everything that anybody may read."""
    routes = APIRouter(prefix="/v1", tags=["chain"])

    @routes.get("/network")
    def about_network() -> dict[str, Any]:
        """Which chain and market this index follows, and how far it is."""
        told = (
            "name",
            "chain_id",
            "genesis",
            "market",
            "token",
            "deploy_block",
            "code_hash",
            "stores",
            "confirmations",
        )
        return {**{name: getattr(network, name) for name in told}, "block": reading.block()}

    @routes.get("/jobs")
    def jobs(
        which: Annotated[JobFilter, Depends(filters_of)],
        cursor: Annotated[str, Query(max_length=30, description="`next` of the page before")] = "",
        limit: Annotated[int, Query(ge=1, le=PAGE)] = 20,
    ) -> dict[str, Any]:
        """Jobs, newest first."""
        return reading.jobs(which, before=cursor, limit=limit)

    @routes.get("/jobs/{job}")
    def one_job(job: Job) -> dict[str, Any]:
        """A job with its lanes, rounds and votes."""
        return reading.job(JobId(job))

    @routes.get("/jobs/{job}/money")
    def job_money(job: Job) -> dict[str, Any]:
        """What came into the job and left it. Incoming and outgoing sums are equal once it is settled."""
        return {"money": reading.money(JobId(job))}

    @routes.get("/jobs/{job}/events")
    def job_events(
        job: Job, after: Annotated[str, Query(max_length=30, description="id of the last event known")] = ""
    ) -> dict[str, Any]:
        """The job's events as the index has them now, unconfirmed ones included."""
        events = reading.events(after=parse_place(after) if after else BEGINNING, job=job)
        return {"events": events, "next": events[-1]["id"] if len(events) == EVENT_PAGE else None}

    @routes.get("/seats")
    def seats(address: AddressFilter = "") -> dict[str, Any]:
        """Seats, all or those of a hot or cold key."""
        return {"seats": reading.seats(address)}

    @routes.get("/events", response_class=EventSourceResponse)
    async def events(
        request: Request,
        job: OfJob = "",
        after: Annotated[str, Query(max_length=30, description="for a first call; Last-Event-ID goes before it")] = "",
        plain: Annotated[bool, Query(description="without event names, for a browser's `onmessage`")] = False,
        last_event_id: Annotated[str, Header(max_length=30)] = "",
    ) -> EventSourceResponse:
        """Server-sent events, confirmed ones only; resumes after Last-Event-ID."""
        known = last_event_id or after
        place = parse_place(known) if known else BEGINNING
        return EventSourceResponse(feed.stream(place, job, client_of(request.scope), plain=plain))

    return routes


def letter_routes(letters: Letters, sessions: Sessions, senders: Throttle) -> APIRouter:
    """The bid board and the mailboxes. `senders` bounds what each signed-in address and each bidder sends."""
    routes = APIRouter(prefix="/v1", tags=["letters"])

    @routes.post("/letters", status_code=201)
    def post(letter: dict[str, Any], response: Response, authorization: Authorization = "") -> dict[str, bool]:
        """Leave a letter: a bid with nobody signed in, a private one as its sender. 200 if it was here already."""
        try:
            read = Letter.decode(canonical_json(letter))
        except (ValueError, RecursionError):
            raise BadMessage("not a letter") from None
        sender = sessions.address_of(authorization) if authorization else None
        senders.take(read.sender.lower())
        new = letters.post(read, sender)
        response.status_code = 201 if new else 200
        return {"new": new}

    @routes.get("/jobs/{job}/bids")
    def bids(job: Job) -> dict[str, Any]:
        """The bids on a job, oldest first, as letters: check their signatures."""
        return {"letters": letters.bids(JobId(job))}

    @routes.get("/mailbox")
    def mailbox(
        authorization: Authorization = "", after: Annotated[int, Query(ge=0, lt=2**63)] = 0, job: OfJob = ""
    ) -> dict[str, Any]:
        """Letters to the signed-in address after number `after`, oldest first, one page."""
        return {"letters": letters.mail(sessions.address_of(authorization), after, JobId(job) if job else None)}

    return routes


def session_routes(sessions: Sessions, askers: Throttle) -> APIRouter:
    """Signing in (EIP-4361). `askers` bounds the nonces that one client is given."""
    routes = APIRouter(prefix="/v1/auth", tags=["sign-in"])

    @routes.post("/nonce")
    def nonce(request: Request) -> dict[str, Any]:
        """A nonce for one sign-in message."""
        askers.take(client_of(request.scope))
        value, expires = sessions.nonce()
        return {"nonce": value, "expires": expires}

    @routes.post("/verify")
    def verify(request: SignInRequest) -> dict[str, Any]:
        """A signed message for a token."""
        token, expires = sessions.sign_in(request.message, bytes.fromhex(request.signature[2:]))
        return {"token": token, "expires": expires}

    return routes
