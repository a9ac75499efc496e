"""docs/score-v1.md says what the scorer has: operators, metrics, errors."""

import re
from pathlib import Path

import pytest

from heldout.kernels import errors
from heldout.kernels.errors import KernelError
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


@pytest.mark.parametrize("kind", KINDS)
def test_every_code_is_explained(kind: type[KernelError]) -> None:
    """A BAD for numbers out of range is an answer, so its code never leaves the process."""
    assert f"`{kind.code}`" in PAGE or kind is errors.OutOfRange
