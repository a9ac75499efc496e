"""An artifact and what it was made of, drawn: one SVG that needs nothing else and reads in light and in dark.

Generations are columns, the artifact on the right and what it was made of to its left. Every line of a card carries a
hash, an address or a transaction, cut short for the eye and whole in its <title>. A page that has colours of its own
sets --vc-ink, --vc-faint, --vc-paper, --vc-line and --vc-mark.
"""

from collections.abc import Iterator
from html import escape
from typing import Final

from heldout.market.messages import HIGHEST_SCORE, describe_score, hexed
from heldout.market.money import format_tokens
from heldout.market.texts import tr
from heldout.market.valuechain.graph import Artifact, ValueChain
from heldout.market.valuechain.words import basis, cost, percent, royalty

WIDTH: Final = 360
"""Of a card; this and all lengths are in pixels."""
GAP_X: Final = 130
GAP_Y: Final = 28
LINE: Final = 18
PADDING: Final = 12
MARGIN: Final = 20
INDENT: Final = 70
LETTER: Final = 7.3
"""The width of the widest of the fonts named below, at their size."""

Line = tuple[str, str, str]
"""What is shown in front, what behind it, and the whole of it."""

_STYLE = """
.vc{--i:var(--vc-ink,#1c1e21);--f:var(--vc-faint,#62666d);--p:var(--vc-paper,#ffffff);--l:var(--vc-line,#c9ccd1);
--m:var(--vc-mark,#1a6b4f);font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
@media (prefers-color-scheme:dark){.vc{--i:var(--vc-ink,#e6e7ea);--f:var(--vc-faint,#9a9fa8);
--p:var(--vc-paper,#17191c);--l:var(--vc-line,#41464d);--m:var(--vc-mark,#6fd3ac)}}
.vc-card{fill:var(--p);stroke:var(--l)}.vc-root{stroke:var(--m);stroke-width:2}.vc-unknown{stroke-dasharray:5 4}
.vc-edge{fill:none;stroke:var(--l);stroke-width:1.5}.vc-name{fill:var(--f)}.vc-text,.vc-label{fill:var(--i)}
.vc-head{fill:var(--m);font-weight:600}.vc-label{text-anchor:middle}
"""


def draw(chain: ValueChain, artifact: str) -> str:
    """The SVG. Raises KeyError for an artifact this market does not know."""
    columns = chain.generations(chain.artifacts[artifact].id)
    cards = {id_: _lines(chain.artifacts.get(id_), id_) for column in columns for id_ in column}
    places, width, height = _places(columns, cards)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="vc" role="img" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" aria-label="{escape(_title(artifact))}">',
        f"<style>{_STYLE}</style>",
        *_edges(chain, cards, places),
        *(_card(chain, id_, lines, *places[id_], id_ == artifact) for id_, lines in cards.items()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _lines(made: Artifact | None, id_: str) -> list[Line]:
    head = ("", tr("artifact %(id)s", id=short(id_)), id_)
    if made is None:
        return [head, ("", tr("not of this market"), id_)]
    score = f"{tr(made.metric)} {describe_score(made.score)}" if made.score <= HIGHEST_SCORE else tr("no score")
    weights = hexed(made.entry.weights_hash) if made.entry else ""
    paid = f"{format_tokens(made.payout)}, {tr('fees %(fees)s', fees=format_tokens(made.fees))}"
    return [
        head,
        (tr("score"), score, basis(made)),
        (tr("asked"), _done(short(made.requester), made.posted), f"{made.requester} {made.posted}"),
        (tr("trained"), _done(short(made.maker), made.submitted), f"{made.maker} {made.submitted}"),
        *(
            (tr("measured"), _done(tr("seat %(seat)s", seat=each.seat), each.tx), f"{each.owner or ''} {each.tx}")
            for each in made.measurements
        ),
        (tr("cost"), paid, cost(made)),
        (tr("settled"), short(made.settled), made.settled),
        (tr("weights"), short(weights) if weights else tr("not claimed"), weights or made.id),
        (tr("owner"), f"{short(made.owner)}{_suggestion(made)}", made.owner),
        (tr("task"), short(hexed(made.task)), hexed(made.task)),
        (tr("data"), short(hexed(made.data)), hexed(made.data)),
    ]


def _title(artifact: str) -> str:
    return tr("What artifact %(artifact)s was made of, by whom, and its cost", artifact=artifact)


def _done(who: str, tx: str) -> str:
    return tr("%(who)s in %(tx)s", who=who, tx=short(tx))


def _suggestion(made: Artifact) -> str:
    if not made.entry or not made.entry.suggested:
        return ""
    return tr(", suggests %(share)s", share=percent(made.entry.suggested))


def short(hash_: str) -> str:
    """`0x12345678…abcd`: enough for the eye."""
    return f"{hash_[:10]}…{hash_[-4:]}" if len(hash_) > 16 else hash_


def _places(columns: list[list[str]], cards: dict[str, list[Line]]) -> tuple[dict[str, tuple[int, int]], int, int]:
    """Top left corner of every card, and the size of the whole. Columns are centred."""
    heights = [sum(_height(cards[id_]) for id_ in column) + GAP_Y * (len(column) - 1) for column in columns]
    width = 2 * MARGIN + len(columns) * WIDTH + (len(columns) - 1) * GAP_X
    places = {}
    for number, column in enumerate(columns):
        x = width - MARGIN - WIDTH - number * (WIDTH + GAP_X)
        y = MARGIN + (max(heights) - heights[number]) // 2
        for id_ in column:
            places[id_] = (x, y)
            y += _height(cards[id_]) + GAP_Y
    return places, width, 2 * MARGIN + max(heights)


def _height(lines: list[Line]) -> int:
    return 2 * PADDING + LINE * len(lines)


def _card(chain: ValueChain, id_: str, lines: list[Line], x: int, y: int, is_root: bool) -> str:
    kind = "vc-card" + (" vc-root" if is_root else "") + ("" if id_ in chain.artifacts else " vc-unknown")
    indent = max(INDENT, *(int(LETTER * (len(name) + 1)) for name, _, _ in lines))  # other languages have longer words
    rows = [f'<rect class="{kind}" width="{WIDTH}" height="{_height(lines)}" rx="8"/>']
    for number, (name, text, whole) in enumerate(lines):
        line = PADDING + LINE * number + 13
        style = "vc-text" if name else "vc-head"
        label = f'<text class="vc-name" x="{PADDING}" y="{line}">{escape(name)}</text>' if name else ""
        start = PADDING + indent if name else PADDING
        shown, title = escape(_fitting(text, start)), f"<title>{escape(whole)}</title>"
        rows.append(f'{label}<text class="{style}" x="{start}" y="{line}">{shown}{title}</text>')
    return f'<g transform="translate({x} {y})">{"".join(rows)}</g>'


def _fitting(text: str, start: int) -> str:
    """The whole text, or as much of it as a card has room for."""
    room = int((WIDTH - PADDING - start) / LETTER)
    return text if len(text) <= room else text[: room - 1] + "…"


def _edges(chain: ValueChain, cards: dict[str, list[Line]], places: dict[str, tuple[int, int]]) -> Iterator[str]:
    """From each parent's right side to its child's left one, with the royalty that the child's terms pay."""
    for id_ in cards:
        if (made := chain.artifacts.get(id_)) is None:
            continue
        for number, parent in enumerate(made.parents, 1):
            from_x, from_y = places[parent.artifact]
            to_x, to_y = places[id_]
            from_x, from_y = from_x + WIDTH, from_y + _height(cards[parent.artifact]) // 2
            to_y += _height(cards[id_]) * number // (len(made.parents) + 1)
            yield _edge((from_x, from_y), (to_x, to_y), percent(parent.bps), royalty(chain, made, parent))


def _edge(start: tuple[int, int], end: tuple[int, int], label: str, told: str) -> str:
    (x, y), (to_x, to_y) = start, end
    bend = (x + to_x) // 2
    path = f'<path class="vc-edge" d="M{x} {y}C{bend} {y} {bend} {to_y} {to_x} {to_y}"/>'
    text = f'<text class="vc-label" x="{to_x - GAP_X // 2}" y="{(y + to_y) // 2 - 6}">{escape(label)}</text>'
    return f"<g><title>{escape(told)}</title>{path}{text}</g>"
