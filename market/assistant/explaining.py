"""What an error means: by its code, its name in the contract, or the bytes of a revert."""

import re
from collections.abc import Iterator

from heldout.market import errors
from heldout.market.chain.contracts import interface
from heldout.market.chain.hints import HINTS
from heldout.market.texts import later, text, tr

_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2}){4,}")


def explain_error(question: str) -> tuple[str, str] | None:
    """An explanation and its source, if `question` names an error; None if it names none."""
    for name, hint in HINTS.items():
        if re.search(rf"\b{name}\b", question):
            return text("error.contract", name=name, hint=tr(hint)), f"protocol.md P14 {name}"
    for match in _DATA.finditer(question):
        known = _explain_data(match[0])
        if known is not None:
            return known
    words = set(re.findall(r"[a-z]+(?:_[a-z0-9]+)+", question))
    for error in _tree(errors.HeldoutError):
        if error.code in words:
            return _explain_code(error), f"errors {error.code}"
    return None


def _explain_data(data: str) -> tuple[str, str] | None:
    """None for hex digits that begin with no selector of ours: they may be the id of something."""
    try:
        reverted = interface("IMarket").error(bytes.fromhex(data[2:]))
    except errors.ChainProblem:
        return None
    if reverted.name not in HINTS:
        return None
    shown = ", ".join(map(str, reverted.values))
    hint = tr(HINTS[reverted.name])
    return text("error.reverted", name=reverted.name, values=shown, hint=hint), f"protocol.md P14 {reverted.name}"


def _explain_code(error: type[errors.HeldoutError]) -> str:
    retry = text("error.retryable" if error.retryable else "error.final")
    return text("error.code", name=error.code, meaning=tr(_meaning(error)), exit_code=error.exit_code, retry=retry)


def _meaning(error: type[errors.HeldoutError]) -> str:
    """The words beside the class in the tree that opens heldout.market.errors."""
    found = re.search(rf"\b{error.__name__}\s+(?:exit \d+\s+)?(.+)", errors.__doc__ or "")
    return re.split(r"\s{2,}\(", found[1])[0].strip() if found else later("see the error tree")


def _tree(error: type[errors.HeldoutError]) -> Iterator[type[errors.HeldoutError]]:
    for child in error.__subclasses__():
        yield from _tree(child)
    yield error
