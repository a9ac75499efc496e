"""Geometry of the drawings: numbers in, places on a canvas out. The templates turn them into SVG.

Nothing is told by colour alone: what differs in colour also differs in shape or in words, and beside every drawing is a
table with the same numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from heldout.market.messages import CODES, describe_score
from heldout.market.texts import later, tr

WIDTH, STRIP_HEIGHT, CURVE_HEIGHT = 440, 132, 200
_MARGIN = 34
_STEP = 17
"""Pixels between dots that stand on one another."""


@dataclass(frozen=True)
class Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    @staticmethod
    def over(values: Iterable[float], start: float, end: float) -> "Scale":
        """Room for all of `values`, and a tenth of it to spare at both ends."""
        known = list(values)
        low, high = min(known), max(known)
        spare = (high - low) / 10 or abs(high) / 10 or 1
        return Scale(low - spare, high + spare, start, end)


@dataclass(frozen=True)
class Dot:
    """One seat's vote on one lane."""

    x: float
    y: float
    label: str
    agrees: bool


@dataclass(frozen=True)
class Mark:
    """A line across a drawing, with its name."""

    at: float
    name: str
    text: str


@dataclass(frozen=True)
class Strip:
    """Seats' scores along one axis; equal ones stand on one another."""

    dots: tuple[Dot, ...]
    marks: tuple[Mark, ...]
    majority: Mark | None
    title: str


def strip(votes: Sequence[tuple[str, int]], result: int | None, floor: int, target: int) -> Strip:
    """`votes` are (who, score or code). A code stands at the left end, apart from the numbers."""
    numbers = [value for _, value in votes if value not in CODES]
    axis = Scale.over([*numbers, floor, target], 2 * _MARGIN, WIDTH - _MARGIN)
    piled: dict[int, int] = {}
    dots = []
    for who, value in votes:
        height = piled[value] = piled.get(value, -1) + 1
        x = float(_MARGIN) if value in CODES else axis(value)
        y = STRIP_HEIGHT - 46 - _STEP * height
        dots.append(Dot(x, y, f"{who}: {describe_score(value)}", result is None or value == result))
    marks = (
        Mark(axis(floor), later("floor"), describe_score(floor)),
        Mark(axis(target), later("target"), describe_score(target)),
    )
    majority = None
    if result is not None:
        x = float(_MARGIN) if result in CODES else axis(result)
        majority = Mark(x, "majority", describe_score(result))
    return Strip(tuple(dots), marks, majority, "; ".join(dot.label for dot in dots))


@dataclass(frozen=True)
class Line:
    """One lane's readings: the points of a polyline, and where its last one is."""

    points: str
    end: tuple[float, float]
    lane: int


@dataclass(frozen=True)
class Curve:
    """What lanes reported of themselves, over their own steps."""

    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Mark, ...]
    across: str


def curve(
    series: Mapping[int, Sequence[tuple[float, float]]], across: str, marks: Sequence[tuple[str, float]]
) -> Curve | None:
    """`series` by lane as (step, value); `marks` are values worth a line across. None if there is nothing to draw."""
    points = [point for line in series.values() for point in line]
    if not points:
        return None
    right = Scale.over((x for x, _ in points), _MARGIN, WIDTH - _MARGIN)
    up = Scale.over([*(y for _, y in points), *(value for _, value in marks)], CURVE_HEIGHT - 40, 14)
    lines = tuple(
        Line(" ".join(f"{right(x)},{up(y)}" for x, y in line), (right(line[-1][0]), up(line[-1][1])), lane)
        for lane, line in series.items()
        if line
    )
    ends = sorted({min(x for x, _ in points), max(x for x, _ in points)})
    return Curve(
        lines,
        tuple(Mark(up(value), name, f"{value:.6g}") for name, value in marks),
        tuple(Mark(right(x), "", f"{x:g}") for x in ends),
        across,
    )


@dataclass(frozen=True)
class Scatter:
    """Dots over two scales."""

    dots: tuple[Dot, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Mark, ...]
    title: str


def scatter(points: Sequence[tuple[float, float, str]]) -> Scatter | None:
    """`points` are (bid in tokens, share of the way from floor to target, name). None if there are none."""
    if not points:
        return None
    right = Scale.over((x for x, _, _ in points), 40, WIDTH - 16)
    up = Scale.over([0, 1, *(y for _, y, _ in points)], CURVE_HEIGHT - 32, 14)
    dots = tuple(Dot(right(x), up(y), _reached(x, y, name), True) for x, y, name in points)
    ends = sorted({min(x for x, _, _ in points), max(x for x, _, _ in points)})
    marks = (Mark(up(0), "floor", "0"), Mark(up(1), "target", "1"))
    ticks = tuple(Mark(right(x), "", f"{x:g}") for x in ends)
    return Scatter(dots, marks, ticks, tr("%(count)s measured lanes", count=len(dots)))


def _reached(bid: float, share: float, name: str) -> str:
    values = {"name": name, "bid": f"{bid:g}", "share": f"{100 * share:.0f}"}
    return tr("%(name)s: %(bid)s tokens, %(share)s %%", **values)
