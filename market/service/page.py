"""The page at `/`: what this service sees, for a browser without scripts. Plain HTML, every value escaped."""

from collections.abc import Iterable
from html import escape
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from heldout.market.money import format_tokens
from heldout.market.service.reading import Reading
from heldout.market.settings import Network

_SHOWN = 50
_COLUMNS = ("job", "state", "lanes", "price cap", "deadline (unix)", "requester")


def page_routes(reading: Reading, network: Network) -> APIRouter:
    """Not part of the API, and not under /v1."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/", response_class=HTMLResponse)
    def status() -> str:
        jobs = reading.jobs(state="", requester="", provider="", before="", limit=_SHOWN)["jobs"]
        return status_page(network, reading.block(), jobs)

    return routes


def status_page(network: Network, block: int | None, jobs: Iterable[dict[str, Any]]) -> str:
    """The newest jobs as a table; `block` is the last one in the index."""
    seen = "nothing yet" if block is None else f"block {block}"
    rows = "".join(map(_row, jobs)) or f'<tr><td colspan="{len(_COLUMNS)}">no job was posted yet</td></tr>'
    heads = "".join(f'<th scope="col">{column}</th>' for column in _COLUMNS)
    title = f"Heldout market on {escape(network.name)}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body><main>'
        f"<h1>{title}</h1>"
        f"<p>Market {escape(network.market)} on chain {network.chain_id}, seen up to {seen}. "
        f'An index of the chain, never an authority: <a href="/v1/openapi.json">its API</a>.</p>'
        f"<table><caption>The newest jobs</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        f"</main></body></html>"
    )


def _row(job: dict[str, Any]) -> str:
    terms = job["terms"]
    link = f'<a href="/v1/jobs/{escape(job["id"])}">{escape(job["id"])}</a>'
    outcome = "" if job["outcome"] == "none" else f" ({job['outcome'].replace('_', ' ')})"
    values = (
        job["state"] + outcome,
        terms["lanes"],
        format_tokens(int(terms["priceCap"])),
        job["deadline"],
        job["requester"],
    )
    return f"<tr><td>{link}</td>{''.join(f'<td>{escape(str(value))}</td>' for value in values)}</tr>"
