"""The service's page: plain, complete, and inert whatever it is given."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from heldout.market.messages import hexed
from heldout.market.service.page import status_page
from heldout.market.settings import Network
from tests.builders import CHAIN_ID, JOB, MARKET, REQUESTER, digest

NETWORK = Network("test", CHAIN_ID, "0x0", (), MARKET, MARKET, 0, "0x0", ())
ROW: dict[str, Any] = {
    "id": JOB,
    "state": "settled",
    "outcome": "held_out_keys_withheld",
    "deadline": 1_800_000_000,
    "requester": REQUESTER,
    "terms": {"lanes": 2, "priceCap": str(10**20)},
}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data + "|"


def test_a_job_is_a_row_that_leads_to_all_about_it() -> None:
    page = status_page(NETWORK, 7, [ROW, {**ROW, "id": hexed(digest("other")), "outcome": "none", "state": "open"}])
    tags = Tags(page)
    assert tags.names.count("tr") == 3
    assert f'<a href="/v1/jobs/{JOB}">' in page
    for words in ("settled (held out keys withheld)|", "|open|", "100.0000|", REQUESTER, "seen up to block 7"):
        assert words in tags.text


def test_an_empty_market_says_so() -> None:
    assert "no job was posted yet" in status_page(NETWORK, None, [])


@pytest.mark.parametrize("field", ["id", "state", "outcome", "deadline", "requester"])
def test_nothing_in_a_row_becomes_markup(field: str) -> None:
    """Threat 73."""
    page = status_page(replace(NETWORK, name=HOSTILE, market=HOSTILE), 7, [{**ROW, field: HOSTILE}])
    assert not {"script", "img"} & set(Tags(page).names)
    assert "onerror" not in Tags(page).attributes
