"""P9.1, threats 64 and 65: whatever stands in a stranger's file, there is one verdict, soon, and each time the same."""

import math

import hostile_graphs
import hostile_weights
import pytest
from hostile import Verdicts, all_verdicts
from hostile_weights import SPEC

from heldout.market.weights import Tensor, encode

SLOWEST_S = 5.0

WEIGHTS = {
    20_000: "7e4de8c722e89ac19a62b8ada1b8faac6f4af86bbee8421526e7e6db168e0933",
    1_000_000: "507c924e1e087b584a683f807a309dd68dfc345e8c722848bfb481cf3f334208",
}
"""Of all verdicts about so many files. Written down once, so that each run compares its verdicts with those of other
processes, machines and versions of Python. They change only with the rule or with the forger."""


def _check(found: Verdicts, count: int) -> None:
    assert count / 10 < found.good < count / 2, "forgeries are all too easy, or all too wrong"
    assert found.slowest_s < SLOWEST_S


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.deep)])
def test_forged_weights_have_their_verdicts(count: int) -> None:
    """A million files: no crash, no hang, the same verdict each time."""
    found = all_verdicts("hostile_weights", count, 10_000)
    _check(found, count)
    assert found.digest == WEIGHTS[count]


@pytest.mark.parametrize("count", [1_000, pytest.param(30_000, marks=pytest.mark.deep)])
def test_forged_graphs_are_refused_or_run_to_the_same_bits(count: int) -> None:
    """What is accepted runs, row by row or together, in bounded memory, in one process as in another."""
    found, again = (all_verdicts("hostile_graphs", count, 500) for _ in range(2))
    _check(found, count)
    assert found.digest == again.digest


def test_the_judge_of_weights_would_see_a_reader_that_reads_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that cannot fail proves nothing: here the reader is off by one value."""
    good = encode({name: Tensor("F32", spec.shape, bytes(4 * math.prod(spec.shape))) for name, spec in SPEC.items()})
    assert hostile_weights.judge(good)
    real = hostile_weights.check

    def wrong(data: bytes, *rest: object) -> object:
        entries = real(data, *rest)
        return {**entries, "w": entries["w"]._replace(start=entries["w"].start + 4)}

    monkeypatch.setattr(hostile_weights, "check", wrong)
    with pytest.raises(AssertionError, match="otherwise"):
        hostile_weights.judge(good)


def test_the_judge_of_graphs_would_see_rows_that_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mixing(hostile_graphs.Model):
        def __call__(self, rows):  # type: ignore[no-untyped-def]
            outputs = super().__call__(rows)
            return outputs + len(rows) * outputs.dtype.type(1)

    monkeypatch.setattr(hostile_graphs, "Model", Mixing)
    with pytest.raises(AssertionError, match="rows meet"):
        hostile_graphs.judge(hostile_graphs.EXAMPLES[0].graph())


@pytest.mark.parametrize("kind", [hostile_weights, hostile_graphs])
def test_a_number_makes_one_file(kind: object) -> None:
    forge = kind.forge  # type: ignore[attr-defined]
    assert [forge(number) for number in range(50)] == [forge(number) for number in range(50)]
