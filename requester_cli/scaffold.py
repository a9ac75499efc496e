"""`heldout init TEMPLATE`: a job folder that works as it is."""

import argparse
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from shutil import rmtree

from heldout.market.console import emit
from heldout.market.errors import BadInput

_SCHEMA = "job.schema.json"
_DATA = {"tabular": "python make_data.py TABLE.csv --target COLUMN"}
"""How a template's data is made, where a table has to be named."""


def _templates() -> dict[str, Traversable]:
    folder = files("heldout.requester_cli") / "templates"
    return {entry.name: entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("_")}


def init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("template", metavar="TEMPLATE", help=f"one of: {', '.join(sorted(_templates()))}")
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, help="folder to make (default: ./TEMPLATE)")


def init(args: argparse.Namespace) -> int:
    """Make a job folder from a template: job.toml, what makes data and graph, and in task/ what trains and a baseline:
    the only folder whose files leave this machine in the clear."""
    templates = _templates()
    if args.template not in templates:
        hint = f"there are: {', '.join(sorted(templates))}"
        raise BadInput(f"there is no template {args.template!r}", hint=hint, code="no_such_template")
    folder = args.folder or Path(args.template)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} exists and is not empty", hint="name another folder", code="folder_exists")
    try:
        made = [*_copy(templates[args.template], folder), *_copy_schema(folder)]
    except OSError:
        rmtree(folder, ignore_errors=True)  # it was empty before: half a job folder would be in the way
        raise
    emit(
        args,
        {"folder": str(folder), "files": made},
        f"made {folder}/: {', '.join(made)}",
        "task/ goes to providers and is PUBLIC; everything else here stays on this machine, the rows leave it sealed",
        f"next: cd {folder} && {' && '.join(steps(args.template))}",
    )
    return 0


def steps(template: str) -> list[str]:
    """From a fresh folder to a checked job, command by command."""
    made = _DATA.get(template, "python make_data.py")
    return [made, "python make_graph.py", "heldout data seal", "heldout job check"]


def _copy(source: Traversable, target: Path) -> list[str]:
    """The names of all files, by their path."""
    target.mkdir(parents=True, exist_ok=True)
    made = []
    for entry in sorted(source.iterdir(), key=lambda each: each.name):
        if entry.is_file():
            (target / entry.name).write_bytes(entry.read_bytes())
            made.append(entry.name)
        elif entry.name != "__pycache__":
            made += [f"{entry.name}/{inner}" for inner in _copy(entry, target / entry.name)]
    return made


def _copy_schema(folder: Path) -> list[str]:
    """Editors find it through the first line of job.toml."""
    schema = files("heldout.requester_cli") / _SCHEMA
    target = folder / ".heldout" / _SCHEMA
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(schema.read_bytes())
    return [f".heldout/{_SCHEMA}"]
