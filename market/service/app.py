"""The market service put together: index, bid board, mailboxes, API. A convenience, never an authority."""

import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anyio import to_thread
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.middleware.gzip import GZipMiddleware

from heldout.market.artifacts import Stores, problems
from heldout.market.artifacts.gate import Gate
from heldout.market.artifacts.health import add_health
from heldout.market.artifacts.throttle import Throttle
from heldout.market.chain import Chain
from heldout.market.errors import ChainProblem
from heldout.market.keeping.offered import OfferedKeeper
from heldout.market.service.accounts import Accounts
from heldout.market.service.answers import Answers
from heldout.market.service.api import EVENTS, read_routes
from heldout.market.service.asking import Asking, Model
from heldout.market.service.caching import HeadAsGet, Tagged
from heldout.market.service.describing import describe
from heldout.market.service.feed import Feed
from heldout.market.service.graphs import Graphs
from heldout.market.service.holdings import Holdings
from heldout.market.service.indexer import Follower, Index
from heldout.market.service.kept import SECONDS, Generation, Kept
from heldout.market.service.letters import MOST_BYTES, Letters
from heldout.market.service.manifests import Fetcher, Manifests
from heldout.market.service.pages import failures
from heldout.market.service.pages.mounted import Pages
from heldout.market.service.people import People
from heldout.market.service.planning import Planner, plan_routes
from heldout.market.service.reading import Reading
from heldout.market.service.remembered import Remembered
from heldout.market.service.reported import Reported
from heldout.market.service.sessions import Sessions
from heldout.market.service.sources import BlockTime, Sources
from heldout.market.service.statistics import Statistics
from heldout.market.service.turns import THREADS
from heldout.market.service.writing import account_routes, letter_routes, session_routes
from heldout.market.settings import Network

log = logging.getLogger(__name__)

STALE_S = 60.0
"""Seconds without standing at the chain's head after which the service calls itself not ready."""
FIGURES_S = 10.0
"""Seconds after which figures of the whole market are worked out again."""
MOST_FIGURES_S = 120.0
"""How old they may be when they are shown."""
LETTERS_PER_S = 5.0
NONCES_PER_S = 1.0
PLANS_PER_S = 0.5
QUESTIONS_PER_S = 1.0
_ENVELOPE = 2048
"""What a request may add to a letter's bytes: spaces, escapes."""


@dataclass(frozen=True)
class ServiceSettings:
    """`url` is the public address; `clock` is unix time, `ticks` seconds that never go back."""

    url: str
    hosts: Collection[str]
    rate: float
    secret: bytes
    clock: Callable[[], float]
    ticks: Callable[[], float]
    origins: Collection[str] = ()
    """Of pages elsewhere that may use the API, never with cookies."""
    keep_s: float = SECONDS
    """Seconds for which an answer may be given again while nothing changes."""
    keepers: tuple[OfferedKeeper, ...] = ()
    """Of shard keys, whom the wizard offers."""
    model: Model | None = None
    """That phrases the assistant's answers."""


def create_app(network: Network, chain: Chain, engine: Engine, settings: ServiceSettings) -> FastAPI:
    """The app; its index follows the chain while the app runs."""
    registry = CollectorRegistry()
    reading, manifests = Reading(engine), Manifests(engine)
    feed, block_time = Feed(reading, network.confirmations), BlockTime(settings.clock, settings.ticks)

    generation = Generation()

    def on_block() -> None:
        block_time.ask(chain)
        generation.next()
        feed.tell()
        if follower.age < STALE_S:  # not while it is rebuilt: calls of jobs that it has not read yet look lapsed
            sweep()

    def sweep() -> None:
        try:
            sources.letters.calls.sweep()
        except SQLAlchemyError as problem:  # housekeeping never stops the index
            log.warning("calls that are over could not be removed: %s", problem)

    follower = Follower(Index(engine, chain), registry, on_block, settings.ticks)
    stores = Stores.of(network.stores)
    fetcher = Fetcher(manifests, stores, settings.ticks)
    sources = _sources(network, chain, engine, settings, manifests, block_time)
    sessions = Sessions(engine, chain, network, settings.url, settings.secret, settings.clock)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        feed.start()
        follower.start()
        fetcher.start()
        yield
        fetcher.stop()
        follower.stop()

    app = FastAPI(
        title="Heldout market",
        version="1",
        description="An index of the chain, a bid board and mailboxes. It can never move money.",
        lifespan=running,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    requests = Throttle(settings.rate, 5 * settings.rate, settings.ticks)
    app.add_middleware(Tagged)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)
    app.add_middleware(Kept, generation=generation, ticks=settings.ticks, seconds=settings.keep_s)
    app.add_middleware(HeadAsGet, but=EVENTS)
    limit = 2 * MOST_BYTES + _ENVELOPE
    secure = app.state.secure = settings.url.startswith("https:")
    hosts, origins = settings.hosts, settings.origins
    app.add_middleware(Gate, hosts=hosts, throttle=requests, body_limit=limit, origins=origins, secure=secure)
    problems.install(app)
    pages = Pages(sources)
    failures.install(app, pages)
    _add(app, read_routes(sources, feed))
    _add_writing(app, engine, sources, sessions, settings)
    planners = Throttle(PLANS_PER_S, 20 * PLANS_PER_S, settings.ticks)
    _add(app, plan_routes(Planner(network, chain, stores, Graphs(stores)), planners))
    add_health(app, registry, lambda: _check_fresh(reading, follower))
    app.router.default = pages  # asked last: a method that a route of the API lacks is still its 405
    describe(app)
    return app


def _sources(
    network: Network,
    chain: Chain,
    engine: Engine,
    settings: ServiceSettings,
    manifests: Manifests,
    block_time: BlockTime,
) -> Sources:
    """What pages and API are made from."""
    keepers, model, ticks = settings.keepers, settings.model, settings.ticks
    reading, statistics = Reading(engine), Statistics(engine)
    questions = Throttle(QUESTIONS_PER_S, 30 * QUESTIONS_PER_S, ticks)
    return Sources(
        network=network,
        url=settings.url,
        now=block_time,
        reading=reading,
        manifests=manifests,
        reported=Reported(engine),
        letters=Letters(engine, chain, network, settings.clock, [keeper.address for keeper in keepers]),
        people=People(engine),
        accounts=Accounts(engine, lambda: chain.parameters().seat_stake),
        statistics=statistics,
        figures=Remembered(statistics.all, ticks, FIGURES_S, most=MOST_FIGURES_S),
        ask=Asking(reading, lambda: chain.parameters().minimum_fee, questions, model, ticks).answer,
        keepers=keepers,
        model=model.name if model else "",
    )


def _add_writing(app: FastAPI, engine: Engine, sources: Sources, sessions: Sessions, settings: ServiceSettings) -> None:
    """What takes something, and what is for its owner alone."""
    answers = Answers(engine, settings.clock)
    senders = Throttle(LETTERS_PER_S, 20 * LETTERS_PER_S, settings.ticks)
    _add(app, letter_routes(sources, sessions, answers, senders))
    askers = Throttle(NONCES_PER_S, 60 * NONCES_PER_S, settings.ticks)
    _add(app, session_routes(sessions, askers, app.state.secure))
    _add(app, account_routes(Holdings(engine), sessions, senders))


def _add(app: FastAPI, routes: APIRouter) -> None:
    """As they are: `include_router` would make each of them a second time (5 MB)."""
    app.router.routes.extend(routes.routes)


def _check_fresh(reading: Reading, follower: Follower) -> None:
    """Raises ChainProblem if the index stopped or fell behind, and whatever the database raises."""
    reading.block()
    if follower.failed:
        raise follower.failed
    if follower.age > STALE_S:
        raise ChainProblem(f"the index has not stood at the chain's head for {STALE_S:.0f} s", hint="is the RPC up?")
