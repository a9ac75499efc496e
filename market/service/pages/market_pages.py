"""Pages about people and about the market as a whole."""

import csv
import io
from collections.abc import Callable
from statistics import median
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response

from heldout.market.artifacts.gate import client_of
from heldout.market.messages import HIGHEST_SCORE
from heldout.market.money import ONE_TOKEN
from heldout.market.service import turns
from heldout.market.service.asking import LONGEST
from heldout.market.service.errorlist import error_kinds, reverts
from heldout.market.service.pages.chain_view import chain_drawing
from heldout.market.service.pages.drawing import Scatter, scatter
from heldout.market.service.pages.job_view import view_of
from heldout.market.service.sources import Sources
from heldout.market.service.statistics import FIELDS
from heldout.market.signatures import checksummed
from heldout.market.terms import JobId
from heldout.market.texts import tr

HARDWARE: Final = (("linux/amd64", "x86-64"), ("linux/arm64", "ARM 64"), ("gpu", "GPU"))
_PAGE: Final = 25
_ASKED_FOR_GAPS: Final = 20
Account = Annotated[str, Path(pattern="^0x[0-9a-fA-F]{40}$")]
Cursor = Annotated[str, Query(max_length=100)]
Render = Callable[..., Response]


def add_market_pages(routes: APIRouter, sources: Sources, shown: Render) -> None:
    """`shown(template, here, **values)` makes a page."""
    people = sources.people

    @routes.get("/providers")
    def providers(cursor: Cursor = "") -> Response:
        page = people.providers(before=cursor, limit=_PAGE)
        return shown("providers.html", "/providers", rows=page["providers"], next=_next("/providers", page))

    @routes.get("/providers/{address}")
    def provider(address: Account) -> Response:
        found = people.provider(address)
        ended = found["lanes"] - found["ends"].get("going on", 0) - found["ends"].get("agreed", 0)
        about = {"drawing": _prices(found["recent"]), "gaps": _median_gap(sources, found)}
        return shown("provider.html", "/providers", shown=found, ended=ended, **about)

    @routes.get("/validators")
    def validators(cursor: Cursor = "") -> Response:
        page = people.validators(before=cursor, limit=_PAGE)
        return shown("validators.html", "/validators", rows=page["validators"], next=_next("/validators", page))

    @routes.get("/validators/{address}")
    def validator(address: Account) -> Response:
        return shown("validator.html", "/validators", shown=people.validator(address))

    @routes.get("/accounts/{address}.csv", dependencies=[turns.CHAIN])
    def account_csv(address: Account) -> Response:
        about = {"Content-Disposition": f'attachment; filename="account-{address[2:10]}.csv"'}
        return Response(sources.accounts.csv(address), media_type="text/csv", headers=about)

    @routes.get("/accounts/{address}")
    def account(address: Account, cursor: Cursor = "") -> Response:
        whose = checksummed(address)
        page = sources.accounts.money(whose, before=cursor, limit=_PAGE)
        about = {"rows": page["money"], "sums": sources.accounts.sums(whose), "seats": sources.reading.seats(whose)}
        return shown("account.html", "/accounts", address=whose, next=_next(f"/accounts/{whose}", page), **about)

    @routes.get("/artifacts/{artifact}")
    def artifact(artifact: Annotated[str, Path(pattern="^0x[0-9a-f]{64}$")]) -> Response:
        found = people.artifact(artifact)
        return shown("artifact.html", "/jobs", shown=found, drawing=chain_drawing(sources, artifact))

    @routes.get("/network")
    def network() -> Response:
        figures = sources.figures()
        most_jobs = max((row["open_jobs"] for row in figures["hardware"]), default=0) or 1
        most_providers = max((row["proven_providers"] for row in figures["hardware"]), default=0) or 1
        about = {"most_jobs": most_jobs, "most_providers": most_providers, "names": dict(HARDWARE)}
        return shown("network.html", "/network", figures=figures, **about)

    @routes.get("/earn")
    def earn() -> Response:
        return shown("earn.html", "/earn")

    @routes.get("/network.csv")
    def open_data() -> Response:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(FIELDS)
        writer.writerows(sources.statistics.settled_lanes())
        about = {"Content-Disposition": 'attachment; filename="settled-lanes.csv"'}
        return Response(text.getvalue(), media_type="text/csv", headers=about)

    @routes.get("/ask", dependencies=[turns.QUESTIONS])
    def ask(request: Request, question: Annotated[str, Query(max_length=LONGEST)] = "") -> Response:
        answer = sources.ask(question, client_of(request.scope)) if question.strip() else None
        return shown("ask.html", "/ask", question=question, answer=answer)

    @routes.get("/privacy")
    def privacy() -> Response:
        return shown("privacy.html", "/privacy")

    @routes.get("/errors")
    def errors() -> Response:
        return shown("errors.html", "/errors", errors=error_kinds(), reverts=reverts())


def _next(path: str, page: dict[str, Any]) -> str:
    return f"{path}?cursor={page['next']}" if page["next"] else ""


def _prices(lanes: list[dict[str, Any]]) -> Scatter | None:
    """Bid against how far from floor to target a lane came; None before any lane was measured."""
    points = []
    for lane in _measured(lanes):
        if lane["target"] != lane["floor"]:  # the contract refuses such terms; an RPC that lies does not
            reached = (lane["score"] - lane["floor"]) / (lane["target"] - lane["floor"])
            name = tr("job %(job)s", job=lane["job"][:10])
            points.append((int(lane["price"]) / ONE_TOKEN, max(-1.0, min(reached, 2.0)), name))
    return scatter(points)


def _measured(lanes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose score the seats found."""
    scored = [lane for lane in lanes if lane["score"] is not None and lane["score"] <= HIGHEST_SCORE]
    return [lane for lane in scored if lane["end"] != "agreed"]


def _median_gap(sources: Sources, found: dict[str, Any]) -> float | None:
    """In ppm, over the newest measured lanes whose provider reported the job's own metric while it trained."""
    gaps = []
    for lane in _measured(found["recent"])[:_ASKED_FOR_GAPS]:
        if sources.reported.of(JobId(lane["job"])).get(lane["lane"]):
            gap = view_of(sources, JobId(lane["job"])).lanes[lane["lane"]].gap
            gaps += [gap] if gap is not None else []
    return median(gaps) if gaps else None
