"""docs/score-v1.md says what the scorer has: operators, metrics, errors."""

import re
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

import pytest

from heldout.kernels import account, errors
from heldout.kernels.errors import KernelError
from heldout.kernels.known_answers import known_answers
from heldout.kernels.loader import SUPPORTED
from heldout.kernels.metrics import METRICS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "score-v1.md").read_text()
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KernelError)]


def test_every_operator_is_in_the_table() -> None:
    table = PAGE[PAGE.index("| operator |") : PAGE.index("## Weights")]
    names = set(re.findall(r"[A-Z]\w+", SUPPORTED)) - {"Constant"}
    assert {name for name in names if not re.search(rf"^\|[^|]*\b{name}\b", table, re.MULTILINE)} == set()


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_in_the_table_with_its_id_and_direction(name: str) -> None:
    metric = METRICS[name]
    assert f"| {name} | {metric.id} | {'lower' if metric.lower_is_better else 'higher'} |" in PAGE


def test_every_known_answer_is_named_by_the_section_of_its_rule_and_every_section_has_one() -> None:
    """P9.2: which file tries which rule."""
    named = dict(re.findall(r"^## ([A-Z][\w ]+) \((.+)\)$", PAGE, re.MULTILINE))
    patterns = {pattern: section for section, names in named.items() for pattern in names.split(", ")}
    names = [vector["name"] for vector in known_answers()]
    assert {name for name in names if not any(fnmatch(name, pattern) for pattern in patterns)} == set()
    assert {pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in names)} == set()


def test_no_published_answer_has_changed() -> None:
    """P9.3: one changed bit is a new scorer, and shows in the page's own words."""
    lines = sorted("{name} {outputs} {score} {evidence}\n".format(**vector) for vector in known_answers())
    assert sha256("".join(lines).encode()).hexdigest() in PAGE


def test_every_rule_that_a_replay_names_is_a_section() -> None:
    """P9.5."""
    sections = " ".join(re.findall(r"^## .*$", PAGE, re.MULTILINE)).lower()
    rules = {*account._RULES.values(), "Tables", "Moves", "Metrics"}
    assert {rule for rule in rules if rule.lower() not in sections} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_every_code_is_explained(kind: type[KernelError]) -> None:
    """A BAD for numbers out of range is an answer, so its code never leaves the process."""
    assert f"`{kind.code}`" in PAGE or kind is errors.OutOfRange
