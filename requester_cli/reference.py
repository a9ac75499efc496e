"""Writes what is generated from the code: docs/cli.md from every command's `--help`, and the job file's JSON Schema.

python -m heldout.requester_cli.reference [ROOT]        ROOT: the repository (default: .)
"""

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from heldout.market.console import Command
from heldout.market.posting.jobfields import REQUIRED, schema_of
from heldout.market.posting.jobfile import SECTIONS
from heldout.requester_cli.main import COMMANDS, dispatch

_INTRO = """# The command line

Made from `--help` by `python -m heldout.requester_cli.reference`; a test holds it current.

Data goes to stdout and words for people to stderr. With `--json` stdout carries JSON only, one object a line, and an
error is one flat object on stderr: `code`, `message`, `hint`, `retryable`. Without a terminal nothing is ever asked.

"""
_EXITS = re.compile(r"exit\s+(\d+)\s+(.*)")


def cli_page() -> str:
    """docs/cli.md."""
    parts = [_INTRO, _exit_codes()]
    for words in walk(COMMANDS):
        parts.append(f"## heldout {' '.join(words)}\n\n```text\n{help_of(words)}```\n\n")
    return "".join(parts).rstrip() + "\n"


def walk(commands: Mapping[str, Command], *before: str) -> Iterator[tuple[str, ...]]:
    """Every command's words, tables included, other rooms' tables too."""
    for name, command in commands.items():
        words = (*before, name)
        yield words
        if not isinstance(command.target, str):
            yield from walk(command.target, *words)
        elif command.target.endswith(":main"):
            yield from walk(_foreign_table(command.target), *words)


def _foreign_table(target: str) -> Mapping[str, Command]:
    """The commands of another room: its module's COMMANDS."""
    table: Mapping[str, Command] = import_module(target.partition(":")[0]).COMMANDS
    return table


def help_of(words: tuple[str, ...]) -> str:
    """What `heldout WORDS --help` prints, at a width of 100."""
    printed = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            dispatch([*words, "--help"])
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines()) + "\n"


def _exit_codes() -> str:
    """From the error tree's own docstring."""
    from heldout.market import errors

    meanings: dict[int, list[str]] = {}
    for code, meaning in _EXITS.findall(errors.__doc__ or ""):
        meanings.setdefault(int(code), []).append(re.sub(r"  +", " ", meaning.strip().removesuffix("(final)").strip()))
    rows = "\n".join(f"| {code} | {'; '.join(meanings[code])} |" for code in sorted(meanings))
    return f"| exit code | meaning |\n|---|---|\n| 0 | done |\n{rows}\n| 130 | interrupted by ^C |\n\n"


def job_schema() -> dict[str, Any]:
    """The JSON Schema of job.toml, for editors."""
    image = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
    by_platform = {"type": "object", "additionalProperties": {"$ref": "#/$defs/imageId"}, "minProperties": 1}
    text = {"type": "string"}
    parent = {
        "type": "object",
        "additionalProperties": False,
        "required": ["artifact", "payee", "percent"],
        "properties": {"artifact": text, "payee": text, "percent": {"type": "number", "minimum": 0, "maximum": 20}},
    }
    sections = {
        name: {
            "type": "object",
            "additionalProperties": False,
            "required": [key for key, field in fields.items() if field.default is REQUIRED],
            "properties": {key: schema_of(field) for key, field in fields.items()},
        }
        for name, fields in SECTIONS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Heldout job file",
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, section in sections.items() if section["required"]],
        "properties": sections,
        "$defs": {"imageId": image, "imageByPlatform": by_platform, "parent": parent},
    }


def generated(root: Path) -> dict[Path, str]:
    """Every generated file under a repository, with what it should hold."""
    return {
        root / "docs" / "cli.md": cli_page(),
        root / "requester_cli" / "job.schema.json": json.dumps(job_schema(), indent=2) + "\n",
    }


if __name__ == "__main__":
    for path, text in generated(Path(sys.argv[1] if len(sys.argv) > 1 else ".")).items():
        path.write_text(text)
