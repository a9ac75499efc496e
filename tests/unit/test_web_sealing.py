"""The page's sealing is the command line's, byte by byte (tests/vectors/sealing.json), run in Node's WebCrypto."""

import json
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from heldout.market.errors import BadEnvelope
from heldout.market.sealing import wrap_public_key
from heldout.requester_cli.loans import Loan

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests/vectors/sealing.json"


def sealed_by_the_page(folder: Path, vectors: Path = VECTORS) -> subprocess.CompletedProcess[str]:
    """tests/web/sealing.ts over a file of vectors."""
    esbuild, bundle = ROOT / "node_modules/.bin/esbuild", folder / "sealing.mjs"
    entry = ROOT / "tests/web/sealing.ts"
    how = ["--bundle", "--format=esm", "--platform=node", "--log-level=warning", f"--outfile={bundle}"]
    subprocess.run([esbuild, entry, *how], check=True)
    return subprocess.run(["node", bundle, vectors], capture_output=True, text=True, check=False)


def test_a_page_seals_data_to_the_same_bytes_as_the_command_line(tmp_path: Path) -> None:
    done = sealed_by_the_page(tmp_path)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    cases = json.loads(VECTORS.read_text())["cases"]
    assert len(told) == len(cases) == 2
    for page, case in zip(told, cases, strict=True):
        for name in ("root", "leaves", "salt"):
            assert "0x" + page[name] == case[name]
        assert (page["rows"], page["shard_bytes"]) == (case["rows"], case["shard_bytes"])
        leaves = bytes.fromhex(page["leaves"])
        hashes = [sha256(bytes.fromhex(shard)).digest() for shard in page["shards"]]
        assert hashes == [leaves[at : at + 32] for at in range(0, len(leaves), 64)]


def test_what_a_page_hands_to_a_keeper_opens_with_the_keepers_key_alone(tmp_path: Path) -> None:
    """Decision 24: the same line as the requester lent, wrapped anew."""
    case = json.loads(VECTORS.read_text())["cases"][0]
    private = sha256(b"keeper").digest()
    (tmp_path / "vectors.json").write_text(json.dumps({"cases": [{**case, "keeper": wrap_public_key(private).hex()}]}))
    done = sealed_by_the_page(tmp_path, tmp_path / "vectors.json")
    assert done.returncode == 0, done.stderr
    lent, handed = Loan.read(case["line"]), Loan.read(json.loads(done.stdout)["handed"])
    assert (handed.address, handed.salt, handed.wrap_key) == (lent.address, lent.salt, lent.wrap_key)
    page_private = bytes.fromhex(case["page_private"][2:])
    assert handed.open(private) == lent.open(page_private)
    with pytest.raises(BadEnvelope):
        handed.open(page_private)


@pytest.mark.parametrize("wrong", ["another salt", "another address", "another page"])
def test_a_page_takes_no_loan_that_is_not_for_it(tmp_path: Path, wrong: str) -> None:
    """Threat 76: what is said beside the envelope is bound to it."""
    import base64

    case = json.loads(VECTORS.read_text())["cases"][0]
    body = case["line"].partition(".")[2]
    loan = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    if wrong == "another salt":
        loan["salt"] = "00" * 32
    elif wrong == "another address":
        loan["address"] = "0x" + "11" * 20
    else:
        case["page_public"] = "0x" + "09".ljust(64, "0")
    case["line"] = "heldout-lent-1." + base64.urlsafe_b64encode(json.dumps(loan).encode()).decode().rstrip("=")
    (tmp_path / "vectors.json").write_text(json.dumps({"cases": [case]}))
    done = sealed_by_the_page(tmp_path, tmp_path / "vectors.json")
    assert done.returncode != 0
    assert "This is not the line that `heldout requester lend` printed" in done.stderr
