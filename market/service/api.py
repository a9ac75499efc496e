"""The routes under /v1 that anybody may read. What is said is read from the index; nothing here can move money."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sse_starlette import EventSourceResponse

from heldout.market.artifacts.gate import client_of
from heldout.market.jsontext import read_json
from heldout.market.service import shapes, turns
from heldout.market.service.asking import LONGEST
from heldout.market.service.describing import PROBLEMS
from heldout.market.service.errorlist import error_kinds, reverts
from heldout.market.service.feed import Feed
from heldout.market.service.filters import filters_of
from heldout.market.service.letters import NotYetKnown
from heldout.market.service.reading import BEGINNING, EVENT_PAGE, PAGE, JobFilter, parse_place
from heldout.market.service.sources import Sources
from heldout.market.terms import JobId
from heldout.market.valuechain import fold
from heldout.market.valuechain.words import as_json as chain_json

Job = Annotated[str, Path(pattern="^0x[0-9a-f]{64}$", description="id of a job")]
OfJob = Annotated[str, Query(pattern="^(0x[0-9a-f]{64})?$", description="only this job")]
Account = Annotated[str, Path(pattern="^0x[0-9a-fA-F]{40}$", description="an address")]
Artifact = Annotated[str, Path(pattern="^0x[0-9a-f]{64}$", description="id of an artifact")]
Address = Annotated[str, Query(pattern="^(0x[0-9a-fA-F]{40})?$")]
Cursor = Annotated[str, Query(max_length=100, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=PAGE)]
Place = Annotated[str, Query(max_length=30, description="id of the last event known, `block:index`")]
EVENTS: Final = "/v1/events"
_TOLD = ("name", "chain_id", "genesis", "market", "token", "deploy_block", "code_hash", "stores", "confirmations")


def read_routes(sources: Sources, feed: Feed) -> APIRouter:
    """Jobs, events, and what they add up to."""
    routes = APIRouter(prefix="/v1", tags=["chain"], responses=PROBLEMS)
    _add_jobs(routes, sources)
    _add_people(routes, sources)
    _add_whole(routes, sources)

    async def place(request: Request) -> AsyncIterator[None]:
        with feed.place(client_of(request.scope)):  # until the stream has ended
            yield

    @routes.get(
        "/events",
        dependencies=[Depends(place, scope="request")],
        response_class=EventSourceResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "events"}},
    )
    async def events(
        job: OfJob = "",
        after: Annotated[str, Query(max_length=30, description="for a first call; Last-Event-ID goes before it")] = "",
        plain: Annotated[bool, Query(description="without event names, for a browser's `onmessage`")] = False,
        last_event_id: Annotated[str, Header(max_length=30)] = "",
    ) -> EventSourceResponse:
        """Server-sent events, confirmed ones only; resumes after Last-Event-ID."""
        known = last_event_id or after
        beginning = parse_place(known) if known else BEGINNING
        return EventSourceResponse(feed.stream(beginning, job, plain=plain))

    return routes


def _add_jobs(routes: APIRouter, sources: Sources) -> None:
    reading = sources.reading

    @routes.get("/jobs", response_model=shapes.Jobs)
    def jobs(which: Annotated[JobFilter, Depends(filters_of)], cursor: Cursor = "", limit: Limit = 20) -> Any:
        """Jobs, newest first."""
        return reading.jobs(which, before=cursor, limit=limit)

    @routes.get("/jobs/{job}", response_model=shapes.Job)
    def one_job(job: Job) -> Any:
        """A job with its lanes, rounds and votes."""
        return reading.job(JobId(job))

    @routes.get("/jobs/{job}/money", response_model=shapes.Money)
    def job_money(job: Job) -> Any:
        """What came into the job and left it. Incoming and outgoing sums are equal once it is settled."""
        return {"money": reading.money(JobId(job))}

    @routes.get("/jobs/{job}/events", response_model=shapes.Events)
    def job_events(job: Job, after: Place = "") -> Any:
        """The job's events as the index has them now, unconfirmed ones included."""
        events = reading.events(after=parse_place(after) if after else BEGINNING, job=job)
        return {"events": events, "next": events[-1]["id"] if len(events) == EVENT_PAGE else None}

    @routes.get("/jobs/{job}/manifest", response_model=shapes.Manifest)
    def job_manifest(job: Job) -> Any:
        """What the job runs and on what, as the network's stores have it. 404 until one of them has shown it."""
        task = reading.job(JobId(job))["terms"]["taskHash"]
        manifest = sources.manifests.of(bytes.fromhex(task[2:]))
        if manifest is None:
            raise NotYetKnown(f"no store has shown the manifest {task} yet", hint="the requester uploads it")
        return {"task": task, "manifest": read_json(manifest.encode())}

    @routes.get("/jobs/{job}/readings", response_model=shapes.Readings)
    def job_readings(job: Job) -> Any:
        """What the job's providers say of their own training. Only the sealed score pays."""
        reading.job(JobId(job))
        return {"readings": {str(lane): lines for lane, lines in sources.reported.of(JobId(job)).items()}}

    @routes.get("/jobs/{job}/records", response_model=shapes.Letters)
    def records(job: Job) -> Any:
        """How the job's trainings ran, as letters that their providers signed: check the signatures."""
        reading.job(JobId(job))
        return {"letters": sources.letters.records(JobId(job))}

    @routes.get("/calls", response_model=shapes.Letters)
    def calls(after: Annotated[int, Query(ge=0, lt=2**63)] = 0) -> Any:
        """Jobs that are called for and not posted, as letters after number `after`, oldest first, one page: check their
        signatures. Bid for them as for open jobs."""
        return {"letters": sources.letters.calls.after(after)}

    @routes.get("/jobs/{job}/bids", response_model=shapes.Letters)
    def bids(job: Job) -> Any:
        """The bids on a job, posted or called for, oldest first, as letters: check their signatures."""
        return {"letters": sources.letters.bids(JobId(job))}


def _add_people(routes: APIRouter, sources: Sources) -> None:
    people = sources.people

    @routes.get("/seats", response_model=shapes.Seats)
    def seats(address: Address = "") -> Any:
        """Seats, all or those of a hot or cold key."""
        return {"seats": sources.reading.seats(address)}

    @routes.get("/providers", response_model=shapes.Providers)
    def providers(cursor: Cursor = "", limit: Limit = 20) -> Any:
        """Providers, those with the most paid lanes first."""
        return people.providers(before=cursor, limit=limit)

    @routes.get("/providers/{address}", response_model=shapes.Provider)
    def provider(address: Account) -> Any:
        """One provider: how its lanes ended, and the newest of them."""
        return people.provider(address)

    @routes.get("/validators", response_model=shapes.Validators)
    def validators(cursor: Cursor = "", limit: Limit = 20) -> Any:
        """Validators by cold key, those with the most seats first."""
        return people.validators(before=cursor, limit=limit)

    @routes.get("/validators/{address}", response_model=shapes.Validator)
    def validator(address: Account) -> Any:
        """One validator by its cold or hot key: seats, and newest votes against what was decided."""
        return people.validator(address)

    @routes.get("/accounts/{address}/money", response_model=shapes.AccountMoney)
    def account_money(address: Account, cursor: Cursor = "", limit: Limit = 20) -> Any:
        """What an address put into jobs and got out of them, newest first."""
        return sources.accounts.money(address, before=cursor, limit=limit)

    @routes.get("/artifacts", response_model=shapes.Artifacts)
    def artifacts(maker: Address = "", owner: Address = "", cursor: Cursor = "", limit: Limit = 20) -> Any:
        """What settled jobs made, newest first."""
        return people.artifacts(maker=maker, owner=owner, before=cursor, limit=limit)

    @routes.get("/artifacts/{artifact}", response_model=shapes.Artifact)
    def artifact(artifact: Artifact) -> Any:
        """One artifact, what it was made of and what was made of it."""
        return people.artifact(artifact)

    @routes.get("/artifacts/{artifact}/chain", response_model=shapes.Chain)
    def chain(artifact: Artifact) -> Any:
        """Who asked, trained and measured, what it cost, and the same of all it was made of (P7.4)."""
        people.artifact(artifact)
        return {"chain": chain_json(fold(sources.reading.lineage(artifact)), artifact)}


def _add_whole(routes: APIRouter, sources: Sources) -> None:
    network = sources.network

    @routes.get("/network", response_model=shapes.NetworkShown)
    def about_network() -> Any:
        """Which chain and market this index follows, and how far it is."""
        told = {name: getattr(network, name) for name in _TOLD}
        return {**told, "block": sources.reading.block(), "now": sources.now()}

    @routes.get("/statistics", response_model=shapes.Figures)
    def statistics(response: Response) -> Any:
        """The market as a whole; worked out anew every few seconds at most."""
        return sources.figures()

    @routes.get("/ask", dependencies=[turns.QUESTIONS], response_model=shapes.Answered)
    def ask(request: Request, question: Annotated[str, Query(min_length=1, max_length=LONGEST)]) -> Any:
        """Ask about Heldout, a job, a transaction or an error, or describe a job and get a draft of its job.toml.
        Answered offline, from the documentation and the index. Nothing is sent, and nobody is believed to be anyone."""
        return sources.ask(question, client_of(request.scope))

    @routes.get("/errors", response_model=shapes.ErrorKinds)
    def errors() -> Any:
        """Every kind of error, with its code, exit code, and whether a retry can help."""
        return {"errors": error_kinds(), "reverts": reverts()}
