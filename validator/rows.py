"""`replay --rows` and `--against`: what became of each row on two machines, and where they part.

A vote is one number, and its evidence one hash: neither tells which row two seats disagree about. Each of them writes
its rows to a file with `--rows`; the other reads that with `--against` and sees, row by row, both predictions, the
first node of the graph at which the two differ, and the section of docs/score-v1.md that defines it.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from heldout.kernels.child import DIGITS, ScoreRequest, ScoreResult
from heldout.market.errors import BadInput
from heldout.market.jsontext import read_json

Account = dict[str, Any]
"""One lane: `nodes` [[name, operator, rule]], `rows` [[prediction, digests]]."""
Score = Callable[[ScoreRequest, float], ScoreResult]
ROW_HEADINGS = ("lane", "row", "here", "there", "first at", "operator", "rule")
ROW_KEYS = ("lane", "row", "here", "there", "node", "operator", "rule")
"""The same, in a record."""


class Recorder:
    """Keeps the account of every lane that is scored through it."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}

    def listening(self, score: Score) -> Score:
        """The same scoring, which also tells about rows. A lane's number is the end of its weights' file name."""

        def told(request: ScoreRequest, timeout_s: float) -> ScoreResult:
            result = score(replace(request, account=True), timeout_s)
            if result.account is not None:
                self.accounts[Path(request.weights).name.rpartition("-")[2]] = result.account
            return result

        return told

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"lanes": self.accounts}))


def read_accounts(path: Path) -> dict[str, Account]:
    """Raises BadInput for anything but what `save` writes."""
    try:
        lanes: dict[str, Account] = read_json(path.read_bytes())["lanes"]
        for each in lanes.values():
            for _, digests in each["rows"]:
                if len(digests) != DIGITS * len(each["nodes"]):
                    raise ValueError("a row has not one digest for each node")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as problem:
        raise BadInput(f"{path} cannot be read as rows of a replay: {problem}", code="bad_rows") from None
    return lanes


def compare_rows(mine: dict[str, Account], theirs: dict[str, Account]) -> list[tuple[object, ...]]:
    """One line, as `ROW_HEADINGS` say, for each row that came to differ anywhere on its way."""
    return [line for lane in sorted(mine.keys() & theirs.keys()) for line in _lane(lane, mine[lane], theirs[lane])]


def _lane(lane: str, mine: Account, theirs: Account) -> Iterator[tuple[object, ...]]:
    if mine["nodes"] != theirs["nodes"] or len(mine["rows"]) != len(theirs["rows"]):
        raise BadInput(f"the two accounts of lane {lane} are of other graphs or rows", code="other_rows")
    for row, (here, there) in enumerate(zip(mine["rows"], theirs["rows"], strict=True)):
        if here != there:
            yield lane, row, here[0], there[0], *_parting(mine["nodes"], here[1], there[1])


def _parting(nodes: list[list[str]], here: str, there: str) -> list[str]:
    """Name, operator and rule of the first node that made something else of a row; else it is the metric."""
    for place, node in enumerate(nodes):
        part = slice(place * DIGITS, (place + 1) * DIGITS)
        if here[part] != there[part]:
            return node
    return ["", "", "Metrics"]
