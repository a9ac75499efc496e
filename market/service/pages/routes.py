"""Where the pages are. Not part of the API, and not under /v1: the same things as JSON are there."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from heldout.market.lifecycle import State
from heldout.market.messages import HIGHEST_SCORE
from heldout.market.narration import BURNED
from heldout.market.posting.jobfields import REQUIRED
from heldout.market.posting.jobfile import SECTIONS
from heldout.market.service.filters import filters_of, query_of
from heldout.market.service.letters import NotYetKnown
from heldout.market.service.pages.chain_view import chain_drawing
from heldout.market.service.pages.exports import as_python, as_toml
from heldout.market.service.pages.job_view import JobView, RoundView, view_of
from heldout.market.service.pages.market_pages import HARDWARE, Render, add_market_pages
from heldout.market.service.pages.site import POLICY, Site, connecting_policy
from heldout.market.service.reading import JobFilter
from heldout.market.service.sources import Sources
from heldout.market.terms import METRICS, JobId

_PAGE: Final = 25
_MOST_CALLED: Final = 20
_FRONT: Final = 6
_ASKED_FOR_HERO: Final = 10
_ID_LENGTH: Final = 66

_BEGINNING: Final = re.compile("0x[0-9a-f]{1,64}")
"""Of a job's id, as the command line takes it."""


@dataclass(frozen=True)
class Hero:
    """A job to show to visitors. `owners` of the seats that agreed: three seats may be one person's."""

    view: JobView
    round: RoundView
    owners: int


def hero_of(sources: Sources) -> Hero | None:
    """The newest measured job on which a committee agreed about a number: what a visitor should see first."""
    settled = sources.reading.jobs(JobFilter(state="settled", outcome="measured"), limit=_ASKED_FOR_HERO)["jobs"]
    for row in settled:
        view = view_of(sources, JobId(row["id"]))
        for round_ in view.rounds:
            if round_.result is not None and round_.result <= HIGHEST_SCORE:
                return Hero(view, round_, sources.reading.owners(round_.agreeing_seats))
    return None


def page_routes(sources: Sources, site: Site) -> APIRouter:
    """Front page, jobs, one job, and static files."""
    routes = APIRouter(include_in_schema=False)
    keepers = [keeper.url for keeper in sources.keepers]

    def shown(template: str, here: str, **values: Any) -> Response:
        block, last, log = sources.reading.block(), *sources.reading.last_place()
        place = "" if last < 0 else f"{last}:{log}"
        return site.page(template, here=here, block=block, now=sources.now(), last=place, **values)

    @routes.get("/")
    def front() -> Response:
        jobs = sources.reading.jobs(limit=_FRONT)["jobs"]
        return shown("front.html", "/", jobs=jobs, hero=hero_of(sources), counts=sources.reading.counts())

    named = _named(sources)

    @routes.get("/jobs/{job}.toml")
    def toml(job: str) -> Response:
        view = view_of(sources, job := named(job))
        return _file(as_toml(view), "application/toml", f"job-{job[2:10]}.toml")

    @routes.get("/jobs/{job}.py")
    def python(job: str) -> Response:
        view = view_of(sources, job := named(job))
        return _file(as_python(view, sources.url), "text/x-python", f"job_{job[2:10]}.py")

    @routes.get("/jobs/{job}")
    def job(job: str) -> Response:
        found = named(job)
        if found != job:
            return RedirectResponse(f"/jobs/{found}", 302)
        view = view_of(sources, found)
        bids = len(sources.letters.bids(found))
        made = next((lane.artifact for lane in view.lanes if lane.artifact), None)
        drawing = chain_drawing(sources, made) if made else ""
        policy = connecting_policy(keepers) if keepers else POLICY
        about = {"bids": bids, "url": sources.url, "burned": BURNED, "drawing": drawing, "policy": policy}
        return shown("job.html", "/jobs", view=view, **about)

    @routes.get("/static/{tag}/{name}")
    def static(tag: str, name: str) -> Response:
        found = site.asset(tag, name)
        if found is None:
            raise HTTPException(404, "no such file")
        return found

    @routes.get("/post")
    def post() -> Response:
        about = {
            "sections": SECTIONS,
            "required": REQUIRED,
            "policy": connecting_policy((*sources.network.stores, *keepers)),
        }
        return shown("post.html", "/post", **about)

    _add_lists(routes, sources, site, shown)
    add_market_pages(routes, sources, shown)
    return routes


def _add_lists(routes: APIRouter, sources: Sources, site: Site, shown: Render) -> None:
    which = Annotated[JobFilter, Depends(filters_of)]

    @routes.get("/jobs")
    def jobs(which: which, cursor: Annotated[str, Query(max_length=30)] = "") -> Response:
        page = sources.reading.jobs(which, before=cursor, limit=_PAGE)
        return shown(
            "jobs.html",
            "/jobs",
            jobs=page["jobs"],
            called=[] if cursor or query_of(which) else sources.letters.calls.ending(_MOST_CALLED),
            next=f"/jobs{query_of(which, cursor=page['next'])}" if page["next"] else "",
            query=query_of(which),
            which=which,
            least=query_of(JobFilter(least=which.least)).removeprefix("?least="),
            states=[state.name.lower() for state in State if state],
            metrics=list(METRICS),
            hardware=HARDWARE,
        )

    @routes.get("/jobs.atom")
    def atom(which: which) -> Response:
        found = sources.reading.jobs(which, limit=2 * _PAGE)["jobs"]
        text = site.text("jobs.atom", jobs=found, url=sources.url, query=query_of(which), now=sources.now())
        return Response(text, media_type="application/atom+xml")


def _named(sources: Sources) -> Callable[[str], JobId]:
    """From a job's id, or the beginning of it, to the job."""

    def named(text: str) -> JobId:
        """Raises NotYetKnown, in words, for what names no job, or several."""
        beginning = text.lower()
        if not _BEGINNING.fullmatch(beginning):
            raise NotYetKnown("no job is named like that", hint="a job's id is 0x and hexadecimal digits: see /jobs")
        found = [JobId(beginning)] if len(beginning) == _ID_LENGTH else sources.reading.jobs_beginning(beginning)
        if len(found) != 1:
            what = "several jobs" if found else "no jobs"
            hint = "write more of its id" if found else "see /jobs; a job that was just posted may be a block away"
            raise NotYetKnown(f"{what} of this market begin with {beginning}", hint=hint)
        return found[0]

    return named


def _file(text: str, kind: str, name: str) -> Response:
    return Response(text, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
