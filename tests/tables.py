"""Real tables as a person has them: scikit-learn's, written as CSV."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

from sklearn.datasets import load_breast_cancer, load_diabetes


def cancer(path: Path) -> None:
    """569 patients, the first five measurements of each, and a name that has to be left out; `diagnosis` is a word."""
    data: Any = load_breast_cancer()
    words = [str(data.target_names[number]) for number in data.target]
    cells = [[*map(repr, row[:5].tolist()), word] for row, word in zip(data.data, words, strict=True)]
    rows = [[f"Patient {number}", *row] for number, row in enumerate(cells)]
    _write(path, ["name", *map(str, data.feature_names[:5]), "diagnosis"], rows)


def diabetes(path: Path) -> None:
    """442 patients, ten measurements; `progression` is a number from 25 to 346. `sex` is a word here."""
    data: Any = load_diabetes(scaled=False)
    place = data.feature_names.index("sex")
    rows = [[*map(repr, row.tolist()), repr(float(y))] for row, y in zip(data.data, data.target, strict=True)]
    for row in rows:
        row[place] = {"1.0": "one", "2.0": "other"}[row[place]]
    _write(path, [*data.feature_names, "progression"], rows)


def _write(path: Path, names: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])


def tabular(folder: Path, *words: str) -> None:
    """`heldout init tabular` with data and graph made; `words` are make_data.py's."""
    _run("-m", "heldout", "init", "tabular", str(folder))
    _run(str(folder / "make_data.py"), *words)
    _run(str(folder / "make_graph.py"))


def _run(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True, capture_output=True, timeout=120)
