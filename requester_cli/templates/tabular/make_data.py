"""Makes the data folder of this job from a table: a line of names, then a line for each row.

    python make_data.py TABLE.csv --target COLUMN [--regression] [--drop COLUMN ...]

Columns of numbers are standardised, to mean 0 and deviation 1; where nothing stands, the mean does. A column of texts
becomes a column of 0 and 1 for each text. The target is a class, or with --regression a number, standardised too: an
rmse of 1 is then what the mean alone reaches.

    data/rows.safetensors       x float32 [rows, columns]; y int64 [rows], classes from 0, or float32 [rows]
    columns.json                means, deviations and classes: what you need to use the model on new rows

Neither is uploaded as it is, and the table is not touched.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent
GAPS = {"", "?", "na", "n/a", "nan", "null"}
MOST_TEXTS = 20
MOST_CLASSES = 100

Table = dict[str, list[str]]
Column = dict[str, Any]
"""What was done to a column."""


def read_table(path: Path) -> Table:
    """The cells of each column."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        names, *rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row] or [[]]
    if not rows:
        raise SystemExit(f"{path} holds no table: a line of names, then a line for each row")
    if len(set(names)) != len(names):
        raise SystemExit(f"{path}: two columns have one name")
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise SystemExit(f"{path}: row {number} has {len(row)} cells, there are {len(names)} columns")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def as_numbers(cells: list[str]) -> np.ndarray | None:
    """float64 [rows], NaN for a gap; None if these are texts."""
    try:
        numbers = np.array([np.nan if cell.lower() in GAPS else float(cell) for cell in cells])
    except ValueError:
        return None
    return np.where(np.isfinite(numbers), numbers, np.nan)


def standardise(name: str, numbers: np.ndarray) -> tuple[np.ndarray, Column]:
    if np.isnan(numbers).all():
        raise SystemExit(f"column {name!r} is empty: leave it out with --drop {name!r}")
    mean, deviation = float(np.nanmean(numbers)), float(np.nanstd(numbers)) or 1.0
    return np.nan_to_num((numbers - mean) / deviation), {"name": name, "mean": mean, "deviation": deviation}


def read_features(table: Table) -> tuple[np.ndarray, list[Column]]:
    """float32 [rows, columns], and what each column is."""
    made: list[tuple[np.ndarray, Column]] = []
    for name, cells in table.items():
        numbers, texts = as_numbers(cells), sorted(set(cells))
        if numbers is not None:
            made.append(standardise(name, numbers))
        elif len(texts) > MOST_TEXTS:
            raise SystemExit(f"column {name!r} has {len(texts)} different texts: leave it out with --drop {name!r}")
        else:
            made += [(np.array([cell == text for cell in cells]), {"name": name, "is": text}) for text in texts]
    if not made:
        raise SystemExit("no column is left to learn from")
    return np.stack([values for values, _ in made], axis=1).astype(np.float32), [about for _, about in made]


def read_target(name: str, cells: list[str], regression: bool) -> tuple[np.ndarray, Column]:
    """float32 [rows], or int64 [rows] with the classes in order."""
    if any(cell.lower() in GAPS for cell in cells):
        raise SystemExit(f"column {name!r} is the target, and has gaps: remove those rows")
    if regression:
        numbers = as_numbers(cells)
        if numbers is None or np.isnan(numbers).any():
            raise SystemExit(f"column {name!r} holds something that is no number: without --regression it is a class")
        values, about = standardise(name, numbers)
        return values.astype(np.float32), about
    classes = sorted(set(cells))
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise SystemExit(f"column {name!r} has {len(classes)} different values: a number to predict? add --regression")
    return np.array([classes.index(cell) for cell in cells], np.int64), {"name": name, "classes": classes}


def main(path: Path, target: str, regression: bool, drop: list[str]) -> None:
    table = read_table(path)
    for name in (target, *drop):
        if name not in table:
            raise SystemExit(f"{path} has no column {name!r}; it has {', '.join(table)}")
    y, about = read_target(target, table[target], regression)
    x, columns = read_features({name: cells for name, cells in table.items() if name not in (target, *drop)})
    (HERE / "data").mkdir(exist_ok=True)
    save_file({"x": x, "y": y}, HERE / "data" / "rows.safetensors")
    (HERE / "columns.json").write_text(json.dumps({"columns": columns, "target": about}, indent=2))
    what = "a number" if regression else f"one of {len(about['classes'])} classes"
    print(f"{len(y)} rows of {x.shape[1]} columns; {target} is {what}")
    if regression:
        print(f'write into job.toml: metric = "rmse", and floor and target below 1, in units of {about["deviation"]:g}')


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes the data folder of this job from a table.")
    parser.add_argument("path", metavar="TABLE.csv", type=Path)
    parser.add_argument("--target", metavar="COLUMN", required=True, help="what is to be predicted")
    parser.add_argument("--regression", action="store_true", help="it is a number, not a class")
    parser.add_argument("--drop", metavar="COLUMN", nargs="+", default=[], help="columns to leave out, such as names")
    main(**vars(parser.parse_args()))
