"""Two small line charts as one SVG, for docs/mechanism.md."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log10
from xml.sax.saxutils import escape

from heldout.simulation.adversaries import BuyerOfScores, SlashHunter, UnwatchedBuyer
from heldout.simulation.measure import measured
from heldout.simulation.tables import BASE

WIDTH, HEIGHT, MARGIN = 420, 300, 56
COLOURS = ("#1b6ca8", "#c8553d", "#2e8b57", "#7a5195")
SHARES = (0.02, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45)

Line = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    title: str
    lines: dict[str, Line]
    marks: tuple[float, ...]
    """Where the y axis is marked; their least and greatest are its ends."""
    is_log: bool = False
    legend: int = 44
    """Where the names of the lines begin, from above."""

    def svg(self, left: int) -> str:
        parts = [_text(left + WIDTH / 2, 20, self.title, "middle", 13)]
        for mark in self.marks:
            y = self._y(mark)
            parts.append(f'<path d="M{left + MARGIN} {y:.1f}H{left + WIDTH - 10}" stroke="#ddd"/>')
            parts.append(_text(left + MARGIN - 6, y + 4, f"{mark:g}", "end"))
        for share in SHARES[2::2]:
            parts.append(_text(self._x(share, left), HEIGHT - MARGIN + 18, f"{100 * share:g} %", "middle"))
        parts.append(_text(left + WIDTH / 2, HEIGHT - MARGIN + 38, "share of all seats", "middle"))
        for index, (name, line) in enumerate(self.lines.items()):
            inside = [(x, y) for x, y in line if min(self.marks) <= y <= max(self.marks)]
            points = " ".join(f"{self._x(x, left):.1f},{self._y(y):.1f}" for x, y in inside)
            colour = COLOURS[index]
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts.append(_text(left + MARGIN + 8, self.legend + 15 * index, name, "start", 11, colour))
        return "\n".join(parts)

    def _x(self, share: float, left: int) -> float:
        width = WIDTH - MARGIN - 20
        return left + MARGIN + width * share / SHARES[-1]

    def _y(self, value: float) -> float:
        low, high = min(self.marks), max(self.marks)
        part = log10(value / low) / log10(high / low) if self.is_log else (value - low) / (high - low)
        return HEIGHT - MARGIN - (HEIGHT - MARGIN - 32) * part


def _text(x: float, y: float, text: str, anchor: str, size: int = 11, colour: str = "#333") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(text)}</text>'
    )


def hunters() -> Panel:
    lines: dict[str, Line] = {}
    for fee in (1.0, 5.0, 10.0, 31.25):
        outcomes = [(share, measured(SlashHunter(), replace(BASE, fee=fee, share=share))) for share in SHARES]
        lines[f"f = S/{BASE.stake / fee:g}"] = [(share, outcome.damage) for share, outcome in outcomes]
    title = "Slash hunter: honest stake lost per token spent"
    return Panel(title, lines, (0.01, 0.1, 1, 10, 100), is_log=True)


def buyers() -> Panel:
    lines: dict[str, Line] = {}
    for name, buyer in (("nobody looks", UnwatchedBuyer()), ("the requester appeals", BuyerOfScores())):
        lines[name] = [(share, measured(buyer, replace(BASE, share=share)).makes) for share in SHARES]
    honest = [(share, measured(BuyerOfScores(), replace(BASE, share=share))) for share in SHARES]
    lines["honest work instead"] = [(share, outcome.instead) for share, outcome in honest]
    return Panel("Majority buyer: tokens a job of V = 100", lines, (-800, -600, -400, -200, 0, 200), legend=150)


def svg() -> str:
    """Both charts side by side."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" font-family="sans-serif">',
            f'<rect width="{2 * WIDTH}" height="{HEIGHT}" fill="white"/>',
            hunters().svg(0),
            buyers().svg(WIDTH),
            "</svg>\n",
        ]
    )
