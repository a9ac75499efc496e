"""A second language is a second file: every page speaks it, what it lacks is English, and a wrong text is refused."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from starlette.testclient import TestClient

from heldout.market import texts
from heldout.market.chain.contracts import interface
from heldout.market.errors import BadInput
from heldout.market.lifecycle import State
from heldout.market.messages import hexed
from heldout.market.posting.jobfile import SECTIONS
from heldout.market.service.cli import _speak
from heldout.market.texts import catalogue, text, tr
from heldout.market.valuechain import fold
from heldout.market.valuechain.drawing import draw
from tests.bare_words import bare_words
from tests.builders import CHAIN_ID
from tests.every_page import every_page
from tests.html_reader import read
from tests.languages import marked, speaking
from tests.scenery import Play, small_market
from tests.service_app import NETWORK, service
from tools.page_texts import TEMPLATES

_EVENTS = {event["name"] for event in interface("Market").events.values()}
_CHOICES = {str(choice) for fields in SECTIONS.values() for field in fields.values() for choice in field.choices}
_DATA = re.compile(
    r"""
    0x[0-9a-fA-F]*(…[0-9a-fA-F]+)? | (sha256:)?[0-9a-f]{64} | linux/\w+ | https?://\S+ | urn:\S+
    | \d{4}-\d\d-\d\dT[\d:]+Z | \bUTC\b | \b(d|h|min|s|B|KiB|MiB|GiB|HELD)\b                    # times, units
    | \b(BAD|MISSING|NO_DATA)\b | (^|·\ )(epoch|step|accuracy|loss)\b                            # codes; of reports
    | \b(Heldout|test\ net|API|JSON|TOML|Python|SHA-256|BM25|x86-64|ARM\ 64|GPU|job\.toml)\b     # names
    """,
    re.VERBOSE,
)
HOSTILE = """100 %(market)s %s {id} "><b>'&"""


@pytest.fixture(scope="module")
def plays() -> dict[str, Play]:
    return small_market()


@pytest.fixture
def client(tmp_path: Path, plays: dict[str, Play]) -> Iterator[TestClient]:
    """Speaks what the process speaks."""
    network = replace(NETWORK, name=HOSTILE)
    with service(tmp_path, plays["measured"].scenery, network) as (client, _):
        yield client


# ------------------------------------------------------------------------------------------------------ every text


def test_words_outside_of_brackets_are_seen_and_no_code() -> None:
    """Else the next test could not fail."""
    html = '<p title="⟦a⟧ b">⟦x <b>y⟧</b>z<code>c</code></p><span class="chip">0xab</span><input placeholder="w"/>'
    assert bare_words(html) == ["b", "z", "w"]
    for wrong in ("<p>⟦a ⟦b⟧⟧</p>", "<p>⟦a</p>", '<p title="⟦a"></p>'):
        with pytest.raises(AssertionError):
            bare_words(wrong)


def test_no_word_of_any_page_is_outside_the_catalogue(tmp_path: Path) -> None:
    """Texts are in brackets, and their values outside: a value that is a word and no text is found too."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "pages").mkdir()
    forgotten: dict[str, str] = {}
    with speaking(tmp_path / "texts", marked()):
        for page in every_page(tmp_path / "pages"):
            known = _EVENTS | _CHOICES | page.data
            for words in bare_words(page.html):
                if words not in known and re.search(r"[^\W\d_]", _DATA.sub("", words)):
                    forgotten.setdefault(words, page.path)
    assert forgotten == {}


@pytest.mark.parametrize("question", ["TooEarly", "bad_input", "0x08c379a0", "xyzzy", "job", "transaction"])
def test_what_the_assistant_says_by_itself_is_in_the_catalogue(
    tmp_path: Path, client: TestClient, plays: dict[str, Play], question: str
) -> None:
    """What it quotes is the documentation's."""
    play = plays["appealed"]
    asked = {"job": play.id, "transaction": play.scenery.events[-1].tx}.get(question, question)
    with speaking(tmp_path, marked()):
        said = client.get("/v1/ask", params={"question": asked}).json()["text"]
    assert "⟦" in said
    bare = re.sub("⟦[^⟦⟧]*⟧", " ", said).replace(question, "")
    assert not re.search(r"[^\W\d_]", _DATA.sub("", bare)), said


@pytest.mark.parametrize("path", sorted(TEMPLATES.iterdir()), ids=lambda path: str(path.name))
def test_no_template_has_words_of_its_own(path: Path) -> None:
    """Not even in a branch that no page takes. Blocks `main` and `feed` stand within tags."""
    source = path.read_text()
    for left_out in (
        r"{% block (?:main|feed) %}.*?{% endblock %}",
        "{% trans.*?{% endtrans %}",
        "<(code|id)>.*?</\\1>",
    ):
        source = re.sub(left_out, " ", source, flags=re.DOTALL)
    source = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", " ", source, flags=re.DOTALL)
    attributes = re.findall(r'(?:aria-label|data-label|placeholder|title|alt)="([^"]*[A-Za-z][^"]*)"', source)
    assert set(attributes) <= {"job.toml"}
    words = set(re.findall("[A-Za-z][A-Za-z0-9-]*", re.sub("<[^>]*>", " ", source)))
    assert words <= {"Heldout", "API", "JSON", "TOML", "Python", "SHA-256"}


def test_a_text_with_tags_stands_in_no_attribute() -> None:
    """There `tr` escapes; `trans` would not."""
    for path in TEMPLATES.iterdir():
        assert not re.search(r'="[^"<>]*{%-? trans', path.read_text()), path.name


# ------------------------------------------------------------------------------------------------------ one language


def test_a_language_is_one_file_and_what_it_lacks_is_english(tmp_path: Path, client: TestClient) -> None:
    own = {"pages": {"Jobs": "Aufträge", "not said any more": "…"}, "dock": {"title": "Fragen"}}
    with speaking(tmp_path, own):
        assert (tr("Jobs"), tr("Providers")) == ("Aufträge", "Providers")
        assert (text("dock.title"), text("dock.ask")) == ("Fragen", "Ask")
        assert "not said any more" not in catalogue("xx")["pages"]
        told = read(client.get("/jobs").text)
        assert ("lang", "xx") in told.attributes
        assert "Aufträge" in told.text and "Pays at least" in told.text
    assert tr("Jobs") == "Jobs"


def test_filters_do_not_depend_on_the_language(tmp_path: Path, client: TestClient, plays: dict[str, Play]) -> None:
    with speaking(tmp_path, marked()):
        html = client.get("/jobs?state=open").text
        states = [state.name.lower() for state in State if state]
        assert re.findall(r'<option value="(\w+)"[^>]*>⟦(\w+)⟧', html)[: len(states)] == [(s, s) for s in states]
        assert '<option value="open" selected>' in html
        assert plays["open"].id[:6] in html and plays["running"].id[:6] not in html


def test_a_text_is_escaped_where_it_is_no_markup_and_a_value_always(tmp_path: Path, client: TestClient) -> None:
    """Threat 73, and a translator who writes as people write."""
    odd = """a "quoted" & 'odd' < text"""
    with speaking(tmp_path, {"pages": {"Table": odd, "asked": odd, "chain %(id)s": "%(id)s & chain 100 %%"}}):
        told = read(client.get("/jobs").text)
        assert ("aria-label", odd) in told.attributes
        assert f"{CHAIN_ID} & chain 100 %" in told.text
        assert HOSTILE in told.text and "b" not in told.tags
        feed = ElementTree.fromstring(client.get("/jobs.atom").content)
        assert feed.findtext("{*}title") == f"Heldout jobs on {HOSTILE}"


def test_a_drawing_escapes_what_a_language_calls_its_lines(tmp_path: Path, plays: dict[str, Play]) -> None:
    odd = """a "quoted" & 'odd' < text"""
    play = plays["measured"]
    with speaking(tmp_path, {"pages": {"asked": odd}}):
        svg = ElementTree.fromstring(draw(fold(play.scenery.events), hexed(play.artifact_of(0))))
    assert odd in [element.text for element in svg.findall(".//{*}text")]


# ---------------------------------------------------------------------------------------------------- wrong catalogues

MADE = "Made by %(maker)s for %(owner)s in job %(job)s, lane %(lane)s."
BLOCK = 'up to block <span class="num">%(block)s</span>'
WRONG: list[tuple[str, str, str, str]] = [
    ("pages", MADE, MADE.replace("maker", "makr"), "%(makr)s"),
    ("pages", MADE, "Made by %(maker)s.", "%(owner)s"),
    ("pages", MADE, MADE.replace("lane)s", "lane)d"), "in English"),
    ("pages", MADE, f"{MADE} 100 %", "has %"),
    ("pages", "Jobs", "Jobs of %(maker)s", "%(maker)s"),
    ("pages", BLOCK, "up to block %(block)s", "</span>"),
    ("pages", BLOCK, BLOCK.replace('"num"', '"num" onclick="x()"'), "onclick"),
    ("pages", MADE, MADE.replace("%(maker)s", "<%(maker)s onload=x()>"), "<%(maker)s"),
    ("pages", "Jobs", "<script>alert(1)</script>", "<script>"),
    ("pages", "Jobs", "Jobs <img src=x onerror=alert(1) ", "<img"),
    ("scripts", "copy {0}", "copy {1}", "{1}"),
    ("keeper", "other", "A keeper at {address}", "{url}"),
    ("keeper", "other", "A keeper at {url!r}", "{url!r}"),
    ("dock", "title", "Ask {", "'{'"),
]


@pytest.mark.parametrize(("section", "key", "wrong", "named"), WRONG, ids=lambda value: str(value)[:30])
def test_a_text_that_could_not_stand_for_the_english_one_is_refused(
    tmp_path: Path, section: str, key: str, wrong: str, named: str
) -> None:
    """When the service starts, not when somebody opens the page."""
    with pytest.raises(BadInput) as refused, speaking(tmp_path, {section: {key: wrong}}):
        pass
    assert refused.value.code == "bad_catalogue" and refused.value.hint
    assert f"xx.toml: [{section}] {key!r}" in refused.value.message and named in refused.value.message
    assert texts.spoken() == "en"


@pytest.mark.parametrize(
    "wrong", ["[pages", "[pages]\nJobs = 3", "pages = 3", "[page]\nJobs = 'x'", "[pages]\nJobs = '\udcff'"]
)
def test_what_is_no_catalogue_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    (tmp_path / "en.toml").write_bytes((texts.FOLDER / "en.toml").read_bytes())
    (tmp_path / "xx.toml").write_text(wrong, errors="surrogateescape")
    monkeypatch.setattr(texts, "FOLDER", tmp_path)
    with pytest.raises(BadInput, match=r"^xx\.toml: ") as refused:
        _speak("xx")
    assert refused.value.code == "bad_catalogue"
    with pytest.raises(BadInput, match="no catalogue") as missing:
        _speak("yy")
    assert "en, xx" in missing.value.hint
