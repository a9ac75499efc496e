"""The job file: what a requester asks for, in one `job.toml`, read strictly and with the line in every error.

One table, `SECTIONS`, says what may stand where; the reader below, `job.schema.json` (for editors) and its page in the
docs are all made from it.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from heldout.market.errors import BadInput, BadJobFile
from heldout.market.manifest import STANDARD, TIERS, Resources
from heldout.market.money import MILLION, Ppm, Wei
from heldout.market.posting.jobfields import REQUIRED, Field, Kind, read_value
from heldout.market.terms import LOWER_IS_BETTER, METRICS, Parent

FILE_NAME: Final = "job.toml"

_PLATFORM_IMAGE = "image id (sha256:…) or a table of one for each platform; left out: the network's own job image"

SECTIONS: Final[Mapping[str, Mapping[str, Field]]] = {
    "job": {"name": Field(Kind.TEXT, "what you call it; never leaves this machine")},
    "task": {
        "dir": Field(Kind.TEXT, "folder whose files the provider gets as /in/task; they are public", "task"),
        "command": Field(Kind.WORDS, "what runs in the sandbox, word by word"),
        "image": Field(Kind.IMAGE, _PLATFORM_IMAGE, None),
        "graph": Field(Kind.TEXT, "ONNX model; its initialisers are the tensors to be submitted"),
    },
    "data": {
        "path": Field(Kind.TEXT, "folder of safetensors files with x and y, rows first"),
        "shards": Field(Kind.COUNT, "how many shards the rows are sealed into", 20, least=16, greatest=64),
        "held_out": Field(Kind.COUNT, "how many of them are drawn for scoring, at most half", 6, least=4, greatest=32),
    },
    "score": {
        "metric": Field(Kind.CHOICE, "what is measured", choices=tuple(METRICS)),
        "floor": Field(Kind.SCORE, "a lane that does not reach it is not paid"),
        "target": Field(Kind.SCORE, "a lane that reaches it gets its whole bid"),
        "floor_pay": Field(Kind.SHARE, "share of the bid that is paid at the floor", Ppm(MILLION // 2)),
        "scorer": Field(Kind.CHOICE, "how it is measured, to the bit", "score-v1", choices=("score-v1",)),
    },
    "pay": {
        "price": Field(Kind.TOKENS, "the most you pay for one lane, in tokens"),
        "lanes": Field(Kind.COUNT, "how many providers train at the same time", 1, least=1, greatest=8),
        "validators": Field(Kind.COUNT, "seats of the first committee", 3, choices=(3, 5, 7)),
        "fee": Field(Kind.TOKENS, "for each seat and round; left out: 0.75 % of price × lanes", None),
        "bond": Field(Kind.TOKENS, "yours, lost if you withhold keys; left out: 20 % of price × lanes", None),
        "collateral": Field(Kind.TOKENS, "each provider's; left out: 20 % of price, or all fees if that is more", None),
        "royalties": Field(Kind.PARENTS, "what this builds on: artifact, payee, percent of the provider's payout", ()),
    },
    "resources": {
        "cpus": Field(Kind.COUNT, "cores of the sandbox", 2, least=1, greatest=256),
        "memory": Field(Kind.BYTES, "memory of the sandbox", 1 << 30),
        "disk": Field(Kind.BYTES, "what the job may write", 1 << 30),
        "gpus": Field(Kind.COUNT, "graphics cards it needs", 0, least=0, greatest=16),
        "seconds": Field(Kind.SPAN, "wall clock after which the sandbox is stopped", 600),
        "tier": Field(Kind.CHOICE, "strict: a kernel of the job's own, slower and dearer", STANDARD, choices=TIERS),
    },
    "deadlines": {
        "bids": Field(Kind.SPAN, "from post to accept", 600),
        "work": Field(Kind.SPAN, "from accept to the last submission", 1800),
        "release": Field(Kind.SPAN, "to answer a demand on chain", 300),
        "commit": Field(Kind.SPAN, "for the committee to score", 600),
        "reveal": Field(Kind.SPAN, "for the committee to open its votes", 300),
        "challenge": Field(Kind.SPAN, "to appeal before everybody is paid", 600),
    },
}


@dataclass(frozen=True)
class Score:
    metric: str
    floor: Ppm
    target: Ppm
    floor_pay: Ppm
    scorer: str


@dataclass(frozen=True)
class Pay:
    """None: to be chosen from the price and the market's parameters."""

    price: Wei
    lanes: int
    validators: int
    fee: Wei | None
    bond: Wei | None
    collateral: Wei | None
    royalties: tuple[Parent, ...]


@dataclass(frozen=True)
class Deadlines:
    """Seconds."""

    bids: int
    work: int
    release: int
    commit: int
    reveal: int
    challenge: int


@dataclass(frozen=True)
class JobFile:
    """A sound job file. Paths are absolute."""

    path: Path
    text: str
    name: str
    task_dir: Path
    command: tuple[str, ...]
    image: Mapping[str, str] | None
    graph: Path
    data: Path
    shards: int
    held_out: int
    score: Score
    pay: Pay
    resources: Resources
    deadlines: Deadlines

    def error(self, section: str, key: str, what: str, *, hint: str = "", code: str = "") -> BadJobFile:
        """A complaint about one key, with its line."""
        return _complaint(self.path, self.text, section, key, what, hint=hint, code=code)


def load(folder: Path) -> JobFile:
    """The job file of a folder (or the file itself). Raises BadJobFile naming file and line."""
    path = folder / FILE_NAME if folder.is_dir() else folder
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise BadJobFile(
            f"there is no {path}",
            hint="make one with `heldout init digits`, or of your own table with `heldout init tabular`",
        ) from None
    except UnicodeDecodeError:
        raise BadJobFile(f"{path} is not UTF-8 text") from None
    return parse(text, path)


def parse(text: str, path: Path) -> JobFile:
    """As `load`, from text; `path` is where relative paths start and what errors name."""
    try:
        raw = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:  # a stranger may nest as deep as he likes
        where = re.search(r"at line (\d+)", str(problem))
        line = int(where[1]) if where else text.count("\n") + 1
        raise BadJobFile(f"{path}:{line}: {problem}", hint="see https://toml.io for the syntax") from None
    for name in raw.keys() - SECTIONS.keys():
        raise _complaint(path, text, name, "", f"there is no section [{name}]", hint=f"known: {', '.join(SECTIONS)}")
    sections = {name: _read_section(path, text, raw, name) for name in SECTIONS}
    job = _build(path, text, sections)
    _check_together(job)
    return job


def _read_section(path: Path, text: str, raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Values of one section, defaults filled in."""
    given, fields = raw.get(name, {}), SECTIONS[name]
    if not isinstance(given, dict):
        raise _complaint(path, text, "", name, f"{name} must be a section", hint=f"write [{name}] on a line of its own")
    for key in given.keys() - fields.keys():
        raise _complaint(path, text, name, key, f"[{name}] has no key {key!r}", hint=f"known: {', '.join(fields)}")
    values = {}
    for key, field in fields.items():
        if key not in given:
            if field.default is REQUIRED:
                raise _complaint(path, text, name, "", f"[{name}] lacks {key}", hint=field.meaning)
            values[key] = field.default
            continue
        try:
            values[key] = read_value(field, given[key])
        except BadInput as problem:
            what = f"{name}.{key}: {problem.message}"
            raise _complaint(path, text, name, key, what, hint=problem.hint or field.meaning) from None
    return values


def _build(path: Path, text: str, sections: Mapping[str, dict[str, Any]]) -> JobFile:
    base = path.parent.resolve()
    task, data, resources = sections["task"], sections["data"], sections["resources"]
    return JobFile(
        path=path,
        text=text,
        name=sections["job"]["name"],
        task_dir=base / task["dir"],
        command=task["command"],
        image=task["image"],
        graph=base / task["graph"],
        data=base / data["path"],
        shards=data["shards"],
        held_out=data["held_out"],
        score=Score(**sections["score"]),
        pay=Pay(**sections["pay"]),
        resources=Resources(
            cpus=resources["cpus"],
            memory_bytes=resources["memory"],
            disk_bytes=resources["disk"],
            gpus=resources["gpus"],
            seconds=resources["seconds"],
            tier=resources["tier"],
        ),
        deadlines=Deadlines(**sections["deadlines"]),
    )


def _check_together(job: JobFile) -> None:
    """What no key can be wrong about alone."""
    score, lower = job.score, job.score.metric in LOWER_IS_BETTER
    for key, value in () if lower else (("floor", score.floor), ("target", score.target)):
        if value > MILLION:
            meant = f": did you mean {value / MILLION / 100:g}?" if value <= 100 * MILLION else ""
            what = f"{key}: {score.metric} goes from 0 to 1{meant}"
            raise job.error("score", key, what, hint="nobody can reach more, so nobody could ever be paid")
    if score.floor == score.target or (score.target < score.floor) is not lower:
        better, side = ("lower", "below") if lower else ("higher", "above")
        what = f"for {score.metric} {better} is better: target must be {side} floor"
        raise job.error("score", "target", what, hint="floor is where pay begins, target is where it is whole")
    if 2 * job.held_out > job.shards:
        raise job.error("data", "held_out", f"at most half of the {job.shards} shards may be held out")
    if job.resources.seconds > job.deadlines.work:
        raise job.error("deadlines", "work", f"work ends before the sandbox's {job.resources.seconds} s are over")


def _complaint(
    path: Path, text: str, section: str, key: str, what: str, *, hint: str = "", code: str = ""
) -> BadJobFile:
    return BadJobFile(f"{path}:{_line_of(text, section, key)}: {what}", hint=hint, code=code)


def _line_of(text: str, section: str, key: str) -> int:
    """The line of a key, else of its section, else the first: tomllib keeps no positions."""
    current, found = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            current = header[1]
            if current == section:
                found = number
        elif key and current == section and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""", line):
            return number
    return found
