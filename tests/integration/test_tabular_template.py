"""The tabular template: somebody's own table becomes sealed rows, a graph, a baseline and a training that `job check`
takes (docs/your-data.md)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import heldout.requester_cli
from heldout.devnet import Devnet
from heldout.market.errors import BadInput
from heldout.requester_cli.client import Client
from tests.tables import cancer, diabetes, tabular

pytestmark = pytest.mark.integration

TEMPLATE = Path(next(iter(heldout.requester_cli.__path__))) / "templates" / "tabular"
IMAGE = "sha256:" + "00" * 32


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with (
        Devnet.up(tmp_path_factory.mktemp("tables") / "devnet", service=False) as running,
        Client(running.network, running.keys("requester"), home=running.home("requester")) as opened,
    ):
        yield opened


def adjust(folder: Path, metric: str, floor: float, target: float) -> None:
    text = (folder / "job.toml").read_text()
    for old, new in (
        ('graph = "graph.onnx"', f'image = "{IMAGE}"\ngraph = "graph.onnx"'),
        ('metric = "accuracy"', f'metric = "{metric}"'),
        ("floor = 0.95", f"floor = {floor}"),
        ("target = 0.99", f"target = {target}"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "job.toml").write_text(text)


def test_a_table_of_classes_passes_the_check_and_only_the_task_is_public(client: Client, tmp_path: Path) -> None:
    """569 real patients, whose names must not leave."""
    table, folder = tmp_path / "patients.csv", tmp_path / "job"
    cancer(table)
    tabular(folder, str(table), "--target", "diagnosis", "--drop", "name")
    adjust(folder, "accuracy", 0.999, 1)
    client.seal(folder)
    report = client.check(folder, runner="process")
    assert report.rows == 569 and report.baseline.score is not None
    assert 800_000 < report.baseline.score < 999_000, "five measurements tell much, and not all"
    assert "took its first step" in report.trial.told or report.trial.weights
    posting = client.draft(folder)
    assert [file.path for file in posting.manifest.files] == ["baseline.py", "shape.json", "train.py"]
    assert not any(b"Patient" in blob or b"mean radius" in blob for blob in posting.blobs)


def test_a_table_of_numbers_passes_the_check(client: Client, tmp_path: Path) -> None:
    """Of the target's deviation, the baseline leaves about 0.72; the mean alone would leave 1."""
    table, folder = tmp_path / "diabetes.csv", tmp_path / "job"
    diabetes(table)
    tabular(folder, str(table), "--target", "progression", "--regression")
    client.seal(folder)
    adjust(folder, "accuracy", 0.95, 0.99)
    with pytest.raises(BadInput, match="y must be one int64 class number") as refused:
        client.check(folder, runner="process")
    assert (refused.value.code, "your-data.md" in refused.value.hint) == ("bad_data", True)
    (folder / "job.toml").write_text((TEMPLATE / "job.toml").read_text())
    adjust(folder, "rmse", 0.3, 0.2)
    report = client.check(folder, runner="process")
    assert report.baseline.score is not None and 500_000 < report.baseline.score < 950_000


# ------------------------------------------------------------------------------------------------------- make_data


def make(folder: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """make_data.py on a table, in a folder of its own."""
    script, table = folder / "make_data.py", folder / "table.csv"
    script.write_text((TEMPLATE / "make_data.py").read_text())
    table.write_text(text)
    argv = [sys.executable, str(script), str(table), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_columns_are_standardised_gaps_are_the_mean_and_texts_are_ones(tmp_path: Path) -> None:
    text = "\ufeffage, colour,flat,grade\n1,red,7,b\n,blue,7,a\n3,red,7,b\n"
    done = make(tmp_path, text, "--target", "grade")
    assert done.returncode == 0, done.stderr
    rows = load_file(tmp_path / "data" / "rows.safetensors")
    assert (rows["x"].dtype, rows["y"].dtype, rows["y"].tolist()) == (np.float32, np.int64, [1, 0, 1])
    assert rows["x"].tolist() == [[-1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0]]
    about = json.loads((tmp_path / "columns.json").read_text())
    assert about["target"] == {"name": "grade", "classes": ["a", "b"]}
    assert about["columns"][0] == {"name": "age", "mean": 2.0, "deviation": 1.0}
    assert about["columns"][1] == {"name": "colour", "is": "blue"}


def test_a_number_to_predict_is_standardised_and_its_unit_is_told(tmp_path: Path) -> None:
    done = make(tmp_path, "size,price\n1,100\n2,300\n", "--target", "price", "--regression")
    rows = load_file(tmp_path / "data" / "rows.safetensors")
    assert (rows["y"].dtype, rows["y"].tolist()) == (np.float32, [-1, 1])
    assert 'metric = "rmse"' in done.stdout and "in units of 100" in done.stdout


NAMES = "".join(f"N{n},{n},x\n" for n in range(101))


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        ("a,b\n1,2\n3\n", ["--target", "b"], "row 3 has 1 cells"),
        ("a,a\n1,2\n", ["--target", "a"], "two columns have one name"),
        ("", ["--target", "a"], "holds no table"),
        ("a,b\n1,2\n", ["--target", "c"], "has no column 'c'; it has a, b"),
        ("a,b\n1,x\n2,\n", ["--target", "b"], "'b' is the target, and has gaps"),
        ("a,b\n1,x\n2,y\n", ["--target", "b", "--regression"], "holds something that is no number"),
        ("a,b\n,x\n,y\n", ["--target", "b"], "'a' is empty: leave it out with --drop 'a'"),
        (f"name,b,c\n{NAMES}", ["--target", "b"], "101 different values: a number to predict? add --regression"),
        (f"name,b,c\n{NAMES}", ["--target", "c"], "1 different values"),
        (f"name,b,c\n{NAMES}", ["--target", "b", "--regression"], "'name' has 101 different texts: leave it out"),
        ("b\nx\ny\n", ["--target", "b"], "no column is left"),
    ],
)
def test_a_table_that_cannot_be_learnt_from_is_refused_in_words(
    tmp_path: Path, text: str, words: list[str], says: str
) -> None:
    done = make(tmp_path, text, *words)
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


# ---------------------------------------------------------------------------------------------------------- train


@pytest.mark.parametrize(
    "words", [["cancer", "diagnosis", "--drop", "name"], ["diabetes", "progression", "--regression"]]
)
def test_a_training_goes_on_from_its_checkpoint_and_ends_the_same(tmp_path: Path, words: list[str]) -> None:
    kind, target, *others = words
    table, folder = tmp_path / "table.csv", tmp_path / "job"
    {"cancer": cancer, "diabetes": diabetes}[kind](table)
    tabular(folder, str(table), "--target", target, *others)

    def train(out: str) -> list[dict[str, float]]:
        (folder / out).mkdir(exist_ok=True)
        settings = {"HELDOUT_IN": str(folder), "HELDOUT_OUT": str(folder / out), "HELDOUT_SEED": "7"}
        argv = [sys.executable, str(folder / "task" / "train.py"), "--epochs", "12"]
        done = subprocess.run(argv, env={"PATH": os.environ["PATH"]} | settings, check=True, capture_output=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    told = train("whole")
    assert [line["step"] for line in told] == list(range(1, 13))
    measured = "rmse" if kind == "diabetes" else "loss"
    assert told[-1][measured] < told[0][measured]
    weights = folder / "whole" / "weights.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    assert [line["step"] for line in train("whole")] == [11, 12], "the checkpoint is of the tenth pass"
    assert weights.read_bytes() == before
