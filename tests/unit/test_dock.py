"""The assistant on the pages: whole without scripts, cites what it says, drafts a job, and sends nothing."""

import tomllib
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from heldout.market.service.asking import LONGEST, wizard_address
from heldout.market.texts import text
from tests.html_reader import read
from tests.scenery import Play, account, small_market
from tests.service_app import service

DRAFT = "train digits under 5 tokens, two validators' worth of certainty"
HOSTILE = '<script>alert(1)</script> " onfocus=alert(1) autofocus {{ 7*7 }} \x00 0xabcdef'


@pytest.fixture(scope="module")
def plays() -> dict[str, Play]:
    return small_market()


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory, plays: dict[str, Play]) -> Iterator[TestClient]:
    with service(tmp_path_factory.mktemp("dock"), plays["measured"].scenery) as (client, _):
        yield client


def test_every_page_has_a_dock_that_is_a_plain_form(client: TestClient) -> None:
    for path in ("/", "/jobs", "/providers", "/network", "/errors", "/privacy", f"/providers/{account('ada')}"):
        html = client.get(path).text
        assert '<form action="/ask" method="get"' in html, path
        told = read(html)
        assert not {name for name, _ in told.attributes if name.startswith("on") or name == "style"}
    assert 'class="dock"' not in client.get("/ask").text


def test_without_scripts_an_answer_is_a_page_with_its_sources(client: TestClient) -> None:
    page = client.get("/ask", params={"question": "how do I get my stake back?"})
    assert page.status_code == 200
    assert "<cite>" in page.text and ".md" in page.text
    assert "offline: BM25" in page.text
    assert "unsafe" not in page.headers["content-security-policy"]


def test_a_sentence_becomes_a_draft_with_its_price_and_opens_the_wizard(client: TestClient) -> None:
    said = client.get("/v1/ask", params={"question": DRAFT}).json()
    draft = said["draft"]
    job = tomllib.loads(draft["toml"])
    assert (job["pay"]["validators"], job["job"]["name"]) == (3, "digits")
    assert draft["price"].startswith("At most ")
    assert said["sources"]
    (encoded,) = parse_qs(urlsplit(draft["wizard"]).query)["draft"]
    assert urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode() == draft["toml"]
    page = client.get("/ask", params={"question": DRAFT}).text
    assert f'href="{draft["wizard"]}"' in page and draft["price"] in page


def test_jobs_transactions_and_errors_are_explained_from_the_index(client: TestClient, plays: dict[str, Play]) -> None:
    job = plays["measured"].id
    for identity in (job, job[:12]):
        said = client.get("/v1/ask", params={"question": f"what became of {identity}?"}).json()
        assert "settled" in said["text"] and said["sources"][0].startswith(f"job {job}")
    tx = client.get(f"/v1/jobs/{job}").json()["posted"]["tx"]
    assert f"tx {tx}" in client.get("/v1/ask", params={"question": tx}).json()["sources"][0]
    unknown = client.get("/v1/ask", params={"question": "0x" + "ef" * 32}).json()
    assert unknown["text"] == text("job.unknown", id="0x" + "ef" * 32)
    assert "deadline" in client.get("/v1/ask", params={"question": "TooEarly"}).json()["text"]


def test_hostile_words_stay_words(client: TestClient) -> None:
    """Threat 73."""
    html = client.get("/ask", params={"question": HOSTILE}).text
    assert "<script>alert" not in html and "{{" not in html.replace("{{ 7*7 }}", "") and "49" not in html
    told = read(html)
    assert not {name for name, _ in told.attributes if name.startswith("on") or name == "autofocus"}


def test_questions_have_a_bound_in_length_and_in_pace(client: TestClient) -> None:
    assert client.get("/v1/ask", params={"question": "x" * (LONGEST + 1)}).status_code == 422
    assert client.get("/v1/ask").status_code == 422
    answers = [client.get("/v1/ask", params={"question": f"fees {number}"}).status_code for number in range(40)]
    assert answers[0] == 200 and answers[-1] == 429


def test_the_link_is_a_path_of_this_server_and_nothing_else() -> None:
    address = wizard_address('name = "ü?&#"')
    assert urlsplit(address).path == "/post" and not urlsplit(address).netloc and "=" not in address.partition("=")[2]
