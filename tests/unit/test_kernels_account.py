"""P9.5: when two machines disagree, their accounts tell the row, the node and the rule."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from score_graphs import node, onnx_file, tensors_file

from heldout.kernels import child
from heldout.kernels.child import DIGITS, ScoreRequest
from heldout.market.errors import BadInput
from heldout.validator.rows import Recorder, compare_rows, read_accounts

GRAPH = onnx_file(
    [node("Gemm", "x w b", "sums"), node("Tanh", "sums", "bent"), node("MatMul", "bent v", "y")],
    (5,),
    {"w": (5, 4), "b": (4,), "v": (4, 3)},
)


@pytest.fixture
def request_(tmp_path: Path) -> ScoreRequest:
    random = np.random.default_rng(12)
    shapes = {"w": (5, 4), "b": (4,), "v": (4, 3)}
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    rows = {"x": random.standard_normal((9, 5)).astype(np.float32), "y": random.integers(0, 3, 9)}
    for name, data in (("graph", GRAPH), ("weights-0", tensors_file(weights)), ("rows", tensors_file(rows))):
        (tmp_path / name).write_bytes(data)
    paths = str(tmp_path / "graph"), str(tmp_path / "weights-0"), (str(tmp_path / "rows"),)
    return ScoreRequest(*paths, "accuracy", 10**6, 1 << 20)


def recorded(request: ScoreRequest) -> Recorder:
    recorder = Recorder()
    recorder.listening(lambda asked, seconds: child.run(asked, timeout_s=seconds))(request, 60)
    return recorder


def test_an_account_tells_each_rows_prediction_and_each_nodes_rule(request_: ScoreRequest) -> None:
    told = recorded(request_).accounts["0"]
    assert told["nodes"] == [["sums", "Gemm", "Sums"], ["bent", "Tanh", "Tables"], ["y", "MatMul", "Sums"]]
    assert len(told["rows"]) == 9 and {len(digests) for _, digests in told["rows"]} == {3 * DIGITS}
    assert {prediction for prediction, _ in told["rows"]} <= {0, 1, 2}


def test_telling_changes_neither_score_nor_evidence(request_: ScoreRequest) -> None:
    plain, told = (child.run(replace(request_, account=flag), timeout_s=60) for flag in (False, True))
    assert plain.account is None and replace(told, account=None) == plain


def test_two_machines_that_agree_have_no_row_to_show(request_: ScoreRequest, tmp_path: Path) -> None:
    recorded(request_).save(tmp_path / "theirs")
    assert compare_rows(recorded(request_).accounts, read_accounts(tmp_path / "theirs")) == []


def test_a_machine_without_grids_parts_at_the_first_sum(request_: ScoreRequest) -> None:
    """The float32 device breaks the rule for sums, and is found out at the first node that has one."""
    theirs = recorded(replace(request_, device="float32")).accounts
    lines = compare_rows(recorded(request_).accounts, theirs)
    assert len(lines) == 9 and {line[4:] for line in lines} == {("sums", "Gemm", "Sums")}


def test_a_row_that_parts_late_is_shown_with_both_predictions(request_: ScoreRequest) -> None:
    mine = recorded(request_).accounts
    theirs = copy.deepcopy(mine)
    prediction, digests = theirs["0"]["rows"][4]
    theirs["0"]["rows"][4] = [prediction + 1, digests[: 2 * DIGITS] + "0" * DIGITS]
    assert compare_rows(mine, theirs) == [("0", 4, prediction, prediction + 1, "y", "MatMul", "Sums")]
    theirs["0"]["rows"][4] = [prediction + 1, digests]
    assert compare_rows(mine, theirs) == [("0", 4, prediction, prediction + 1, "", "", "Metrics")]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 100_000, '{"lanes": {"0": {"nodes": [["a", "b", "c"]], "rows": [[1, "00"]]}}}']
)
def test_a_file_that_is_no_account_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "theirs").write_text(text)
    with pytest.raises(BadInput):
        read_accounts(tmp_path / "theirs")
