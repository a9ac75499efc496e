"""One catalogue: what wallet, wizard and assistant say is in it, and another language is a file of the same shape."""

import re
from pathlib import Path

import pytest

from heldout.market.texts import catalogue, languages
from tools.script_texts import literals, said, sources

TEMPLATES = Path(__file__).parents[2] / "market" / "service" / "templates"
WHOLLY_TRANSLATED = ("post.html", "ask.html", "dock.html")
WORDS = re.compile(r"[A-Za-z]{2,}[^A-Za-z]* [^A-Za-z]*[A-Za-z]|^[A-Z][a-z]+")
NOT_SAID = re.compile(
    r"""
    [.:\[].* | input,\ select | button\ first                              # what a page is searched for, and classes
    | Heldout\ uploads\n.* | string:name\ .* | address:owner\ .* | Permit    # what is signed, to the byte
    | Heldout-Upload | Content-Type | Window | not\ hexadecimal              # names of the protocol, and a bug's word
    | heldout\ requester\ lend\ .*                                           # a command
    """,
    re.VERBOSE | re.DOTALL,
)


def test_the_catalogue_has_what_scripts_say_and_nothing_else() -> None:
    """Else: python -m tools.texts --write"""
    english = catalogue("en")["scripts"]
    assert list(english) == said()
    assert all(key == text for key, text in english.items())


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.name))
def test_no_words_of_a_script_are_outside_the_catalogue(path: Path) -> None:
    bare = [text for translated, text in literals(path.read_text()) if not translated and WORDS.search(text)]
    assert [text for text in bare if not NOT_SAID.fullmatch(text)] == []


@pytest.mark.parametrize("name", WHOLLY_TRANSLATED)
def test_no_words_of_the_wizard_and_the_assistant_are_outside_the_catalogue(name: str) -> None:
    source = (TEMPLATES / name).read_text()
    bare = re.sub(r"{%.*?%}|{{.*?}}|<code>.*?</code>", " ", source, flags=re.DOTALL)
    attributes = re.findall(r'(?:aria-label|placeholder|title|alt)="([^"]*[A-Za-z][^"]*)"', bare)
    assert re.findall("[A-Za-z]+", re.sub("<[^>]*>", " ", bare).replace("Heldout", "")) == []
    assert set(attributes) <= {"job.toml"}


@pytest.mark.parametrize("name", WHOLLY_TRANSLATED)
def test_every_text_that_a_page_names_is_there(name: str) -> None:
    for section, key in re.findall(r'text\("(\w+)\.(\w+)"', (TEMPLATES / name).read_text()):
        assert key in catalogue("en")[section]


@pytest.mark.parametrize("language", languages())
def test_every_language_has_the_same_texts_with_the_same_values(language: str) -> None:
    def shape(texts: dict[str, dict[str, str]]) -> dict[str, dict[str, list[str]]]:
        return {s: {k: sorted(re.findall(r"{\w+}", v)) for k, v in each.items()} for s, each in texts.items()}

    assert shape(catalogue(language)) == shape(catalogue("en"))
