"""What the pages' scripts say, found in their sources: `tr("…")` and tr`…${value}…`, with {0}, {1} for its values."""

import re
from collections.abc import Iterator
from pathlib import Path

WEB = Path(__file__).resolve().parents[1] / "market" / "service" / "web"
_TOKEN = re.compile(
    r"""//[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|(?<=[(=,:&|!\s])/(?![/*\s])(?:\\.|\[(?:\\.|[^\]\n])*\]|[^/\\\n])+/[a-z]*|[`{}]"""
)


def literals(source: str) -> Iterator[tuple[bool, str]]:
    """Every string and template of a TypeScript file: whether `tr` translates it, and its text with {0} for values."""
    yield from _code(source, 0, [])


def _code(source: str, at: int, ends: list[int]) -> Iterator[tuple[bool, str]]:
    """Up to the brace that closes what begins at `at`, or the end of the file; where that is goes into `ends`."""
    depth = 0
    while match := _TOKEN.search(source, at):
        token, before = match[0], source[max(0, match.start() - 4) : match.start()]
        at = match.end()
        if token == "`":
            inner: list[int] = []
            yield from _template(source, at, bool(re.search(r"\btr$", before)), inner)
            at = inner[0]
        elif token[0] == '"':
            yield bool(re.search(r"\btr\($", before)), re.sub(r"\\(.)", _unescaped, token[1:-1])
        elif token == "{":
            depth += 1
        elif token == "}":
            if depth == 0:
                break
            depth -= 1
    else:
        at = len(source)
    ends.append(at)


def _template(source: str, at: int, translated: bool, ends: list[int]) -> Iterator[tuple[bool, str]]:
    text, values = "", 0
    while source[at] != "`":
        if source[at] == "\\":
            text, at = text + re.sub(r"\\(.)", _unescaped, source[at : at + 2]), at + 2
        elif source.startswith("${", at):
            inner: list[int] = []
            yield from _code(source, at + 2, inner)
            text, values, at = f"{text}{{{values}}}", values + 1, inner[0]
        else:
            text, at = text + source[at], at + 1
    ends.append(at + 1)
    yield translated, text


def _unescaped(match: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t", "0": "\0"}.get(match[1], match[1])


def sources() -> list[Path]:
    return sorted([*WEB.glob("*.ts"), *WEB.glob("wallet/*.ts"), *WEB.glob("wizard/*.ts")])


def said() -> list[str]:
    """Every text that scripts say, in the order of files."""
    found = (text for path in sources() for translated, text in literals(path.read_text()) if translated)
    return list(dict.fromkeys(found))
