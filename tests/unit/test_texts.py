"""One catalogue: what wallet, wizard and assistant say is in it, and another language is a file of the same shape."""

import re
from pathlib import Path

import pytest

from heldout.market.texts import catalogue, languages
from tools import page_texts
from tools.script_texts import literals, said, sources
from tools.texts import ENGLISH, lacking, written

TEMPLATES = Path(__file__).parents[2] / "market" / "service" / "templates"
NAMED = ("post.html", "ask.html", "dock.html")
"""Whose texts have names."""
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


def test_the_catalogue_has_what_pages_and_scripts_say_and_nothing_else() -> None:
    """Else: python -m tools.texts --write"""
    english = catalogue("en")
    assert (list(english["pages"]), list(english["scripts"])) == (page_texts.said(), said())
    assert all(key == text for section in ("pages", "scripts") for key, text in english[section].items())
    assert ENGLISH.read_text() == written()


def test_a_text_is_found_however_it_is_said() -> None:
    template = """{{ tr("a") }}{{ tr("b %(n)s", n=1) }}{% trans n=2 %}
        <b>{{ n }}</b> c, 100 %
    {% endtrans %}{% trans %}100 % {% endtrans %}{{ tr(row.says) }}"""
    assert list(page_texts.of_template(template)) == ["a", "b %(n)s", "<b>%(n)s</b> c, 100 %%", "100 %"]
    python = 'x = tr("d" "e", n=1), later("f"), tr(x), other("g")'
    assert list(page_texts.of_python(python)) == ["de", "f"]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.name))
def test_no_words_of_a_script_are_outside_the_catalogue(path: Path) -> None:
    bare = [text for translated, text in literals(path.read_text()) if not translated and WORDS.search(text)]
    assert [text for text in bare if not NOT_SAID.fullmatch(text)] == []


@pytest.mark.parametrize("name", NAMED)
def test_every_text_that_a_page_names_is_there(name: str) -> None:
    for section, key in re.findall(r'text\("(\w+)\.(\w+)"', (TEMPLATES / name).read_text()):
        assert key in catalogue("en")[section]


@pytest.mark.parametrize("language", languages())
def test_every_language_that_ships_is_whole(language: str) -> None:
    catalogue(language)
    assert lacking(language) == []
