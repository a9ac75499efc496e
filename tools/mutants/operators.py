"""Which wrong changes are tried: read off the compiler's syntax tree, so that every mutant is one meant change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

Node = dict[str, Any]

OPERATORS = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "+": "-",
    "-": "+",
    "*": "/",
    "/": "*",
    "%": "*",
    "&&": "||",
    "||": "&&",
    "&": "|",
    "|": "&",
    "^": "&",
    "<<": ">>",
    ">>": "<<",
    "+=": "-=",
    "-=": "+=",
    "|=": "&=",
    "&=": "|=",
    ">>=": "<<=",
}
"""One other operator for each. A comparison moves by one; that it may be wrong altogether, `if` shows."""
DELETED = ("ExpressionStatement", "EmitStatement", "ModifierInvocation")


@dataclass(frozen=True)
class Mutant:
    """One change. `name` tells it without line numbers, so that it outlives changes elsewhere in the file."""

    file: str  # path from the repository root
    scope: str  # Contract.function
    start: int  # offset in bytes
    end: int
    new: str  # what stands there instead
    change: str  # `old` -> `new`, of the whole expression, in one line
    nth: int = 1  # of equal changes in one scope

    @property
    def name(self) -> str:
        return f"{self.scope}: {self.change}" + (f" #{self.nth}" if self.nth > 1 else "")

    def applied_to(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]


def mutants_of(file: str, source: bytes, tree: Node) -> list[Mutant]:
    """All mutants of one source file, in the order of the text; `tree` is solc's AST."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for mutant in sorted(_walk(tree, file, source, ""), key=lambda each: (each.start, each.end, each.new)):
        seen[mutant.scope, mutant.change] += 1
        found.append(replace(mutant, nth=seen[mutant.scope, mutant.change]))
    return found


def _walk(node: Node, file: str, source: bytes, scope: str) -> Iterator[Mutant]:
    kind = node.get("nodeType", "")
    if kind in ("InlineAssembly", "ImportDirective", "EventDefinition", "ErrorDefinition", "StructuredDocumentation"):
        return
    if kind in ("ContractDefinition", "FunctionDefinition"):
        scope = f"{scope}.{node['name'] or node.get('kind', '')}".lstrip(".")
    for start, end, new in _changes(node, source):
        whole = _span(node)
        text = source[whole[0] : start] + new.encode() + source[end : whole[1]]
        yield Mutant(file, scope, start, end, new, f"{_line(source[slice(*whole)])} -> {_line(text)}")
    for child in _children(node):
        yield from _walk(child, file, source, scope)


def _children(node: Node) -> Iterator[Node]:
    for value in node.values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and "nodeType" in each:
                yield each


def _changes(node: Node, source: bytes) -> Iterator[tuple[int, int, str]]:
    """(start, end, replacement) of every change of this node itself."""
    kind = node.get("nodeType", "")
    if kind in ("BinaryOperation", "Assignment"):
        left, right = ("leftExpression", "rightExpression") if kind == "BinaryOperation" else _SIDES
        yield from _swap(source, node["operator"], _span(node[left])[1], _span(node[right])[0])
    elif kind == "UnaryOperation" and node["operator"] in ("!", "~", "++", "--"):
        yield from _unary(node, source)
    elif kind == "Conditional":
        yes, no = _span(node["trueExpression"]), _span(node["falseExpression"])
        middle = source[yes[1] : no[0]]
        yield yes[0], no[1], (source[slice(*no)] + middle + source[slice(*yes)]).decode()
    elif kind == "IfStatement":
        yield (*_span(node["condition"]), "false")
        if not _only_reverts(node["trueBody"]):
            yield (*_span(node["condition"]), "true")
    elif kind == "Literal" and node.get("kind") == "number" and node["value"].isdecimal():
        yield (*_span(node), str(int(node["value"]) + 1))
    elif kind == "Literal" and node.get("kind") == "bool":
        yield (*_span(node), "false" if node["value"] == "true" else "true")
    elif kind in DELETED:
        start, end = _span(node)
        if kind != "ModifierInvocation":
            yield start, end + source[end : end + 1].count(b";"), "{}"
        elif node.get("kind") == "modifierInvocation":
            yield start, end, ""


_SIDES = ("leftHandSide", "rightHandSide")


def _swap(source: bytes, operator: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    if operator in OPERATORS:
        at = source.index(operator.encode(), start, end)
        yield at, at + len(operator), OPERATORS[operator]


def _unary(node: Node, source: bytes) -> Iterator[tuple[int, int, str]]:
    start, end = _span(node)
    inner = _span(node["subExpression"])
    if node["operator"] in ("!", "~"):
        yield start, inner[0], ""
    elif node["prefix"]:
        yield start, start + 2, "--" if node["operator"] == "++" else "++"
    else:
        yield end - 2, end, "--" if node["operator"] == "++" else "++"


def _only_reverts(body: Node) -> bool:
    """`if (wrong) revert`: as `if (true)` it would stop everything, which tells nothing."""
    statements = body.get("statements", [body])
    return len(statements) == 1 and statements[0]["nodeType"] == "RevertStatement"


def _span(node: Node) -> tuple[int, int]:
    start, length, _ = map(int, node["src"].split(":"))
    return start, start + length


def _line(text: bytes) -> str:
    return " ".join(text.decode().split())
