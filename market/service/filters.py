"""The filters of a list of jobs: the same words in the addresses of pages, feeds and API."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query

from heldout.market.money import ONE_TOKEN, parse_tokens
from heldout.market.service.reading import JobFilter

Address = Annotated[str, Query(pattern="^(0x[0-9a-fA-F]{40})?$")]


def filters_of(
    state: Annotated[str, Query(pattern="^[a-z]{0,16}$")] = "",
    outcome: Annotated[str, Query(pattern="^[a-z_]{0,24}$")] = "",
    metric: Annotated[str, Query(pattern="^[a-z0-9_]{0,24}$")] = "",
    hardware: Annotated[str, Query(pattern="^[a-z0-9/]{0,24}$")] = "",
    least: Annotated[str, Query(max_length=48)] = "",
    requester: Address = "",
    provider: Address = "",
) -> JobFilter:
    """The filters of a list of jobs, from its address. Raises BadInput for an amount that is none."""
    wei = parse_tokens(least.strip()) if least.strip() else 0
    return JobFilter(state, outcome, requester, provider, metric, hardware, wei)


def query_of(which: JobFilter, **more: str) -> str:
    """The address's part after the path that says the same; empty for no filter."""
    whole, part = divmod(which.least, ONE_TOKEN)
    least = f"{whole}.{part:018d}".rstrip("0").rstrip(".") if which.least else ""
    given = {**vars(which), "least": least, **more}
    named = {name: value for name, value in given.items() if value}
    return f"?{urlencode(named)}" if named else ""
