"""The docs say what the code has: names in the contract's ABI and clauses cited by tests appear in docs/protocol.md."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()


def abi(contract: str) -> list[dict[str, str]]:
    artifact = json.loads((ROOT / "market" / "chain" / "abi" / f"{contract}.json").read_text())
    entries: list[dict[str, str]] = artifact["abi"]
    return entries


SOURCES = (
    "market/**/*.py",
    "provider/*.py",
    "validator/*.py",
    "requester_cli/*.py",
    "kernels/**/*.py",
    "tests/**/*.py",
    "contracts/src/**/*.sol",
    "contracts/test/**/*.sol",
)

# OpenZeppelin's EIP-712 domain: no rule of ours raises or emits these.
INHERITED = {"EIP712DomainChanged", "InvalidShortString", "StringTooLong"}


def test_the_readme_names_every_page_of_the_docs() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in readme] == []


@pytest.mark.parametrize("kind", ["error", "event"])
@pytest.mark.parametrize("contract", ["Market", "ValueChain"])
def test_every_error_and_event_of_the_contracts_is_explained(contract: str, kind: str) -> None:
    names = {entry["name"] for entry in abi(contract) if entry["type"] == kind} - INHERITED
    assert names
    assert {name for name in names if f"`{name}`" not in PROTOCOL} == set()


@pytest.mark.parametrize("contract", ["Market", "ValueChain"])
def test_every_state_changing_function_of_the_contracts_is_explained(contract: str) -> None:
    names = {e["name"] for e in abi(contract) if e["type"] == "function" and e["stateMutability"] == "nonpayable"}
    assert names
    assert {name for name in names if f"`{name}`" not in PROTOCOL} == set()


def test_every_clause_that_code_and_tests_cite_exists() -> None:
    """A citation such as P4.5 leads somewhere."""
    cited: set[tuple[str, str]] = set()
    for path in (p for pattern in SOURCES for p in ROOT.glob(pattern)):
        cited |= set(re.findall(r"\bP(\d{1,2})\.(\d{1,2})\b", path.read_text(encoding="utf-8")))
    chapters = dict(re.findall(r"^## P(\d+) .*\n((?:(?!^## ).*\n)*)", PROTOCOL, re.MULTILINE))
    missing = {f"P{c}.{n}" for c, n in cited if not re.search(rf"^{n}\. ", chapters.get(c, ""), re.MULTILINE)}
    assert missing == set()


@pytest.mark.parametrize(
    "page", sorted(p.relative_to(ROOT).as_posix() for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
)
def test_every_link_of_a_page_leads_to_a_file(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    broken = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert broken == []
