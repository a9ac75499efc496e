"""Write tests/vectors/*.json from the Python side; the Solidity tests check the same files against the contracts.

Two implementations that never saw each other's code must agree on every hash, draw and payout. Inputs come from a fixed
seed. Usage: ``python tools/vectors.py`` writes, ``--check`` compares and exits 1 on a difference.
"""

from __future__ import annotations

import json
import random
import struct
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_account import Account

from heldout.market.keys import KeyRing
from heldout.market.messages import AgreedLane, AgreedOutcome, Bid, Submission, commit_hash
from heldout.market.money import BasisPoints, Ppm, Wei, payout_down
from heldout.market.sealing import wrap_public_key
from heldout.market.split import draw_committee, round_size
from heldout.market.terms import Address, JobTerms, Parent, job_id, keccak256, scorer_id
from heldout.market.weights import Tensor
from heldout.market.weights import encode as encode_file
from heldout.requester_cli.dataset import seal
from heldout.requester_cli.loans import lend_keys

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests/vectors"
CHAIN_ID = 31337
MARKET = Address("0x4D41524b45540000000000000000000000000001")
TERMS_TYPE = (
    "(address,bytes32,uint8,uint96,uint32,uint32,uint32,uint16,bytes32,uint64,uint32,uint64,bytes32,bytes32,uint8,uint8,"
    "uint8,uint96,uint96,uint96,uint32,uint32,uint32,uint32,uint32,uint32,bytes32,(bytes32,address,uint16)[])"
)


def shown(value: object) -> object:
    """JSON's form of a value: bytes as 0x-hex, integers above 2**53 as decimal strings."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shown(each) for each in value]
    return str(value) if isinstance(value, int) and value > 1 << 53 else value


def word(label: str) -> bytes:
    return keccak256(label.encode())


def address(label: str) -> Address:
    return Address("0x" + word(label)[12:].hex())


def example_terms() -> list[JobTerms]:
    """Plain terms, terms with four parents, and every number at its greatest."""
    plain = JobTerms(
        requester=address("requester"),
        wrapKey=word("wrap"),
        lanes=2,
        priceCap=Wei(100 * 10**18),
        floor=Ppm(800_000),
        target=Ppm(950_000),
        floorPay=Ppm(500_000),
        metric=1,
        scorer=scorer_id("score-v1"),
        operationCap=10**9,
        shardBytes=65_536,
        weightsBytes=1 << 20,
        taskHash=word("task"),
        dataRoot=word("data"),
        shards=20,
        heldOut=5,
        committee=3,
        fee=Wei(10**18),
        bond=Wei(40 * 10**18),
        collateral=Wei(20 * 10**18),
        bidWindow=60,
        workWindow=600,
        releaseWindow=61,
        commitWindow=62,
        revealWindow=63,
        challengeWindow=64,
        salt=word("salt"),
    )
    parents = tuple(Parent(word(f"artifact {i}"), address(f"payee {i}"), BasisPoints(100 * i)) for i in range(4))
    bits = {"lanes": 8, "priceCap": 96, "floor": 32, "operationCap": 64, "weightsBytes": 64, "metric": 16, "salt": 0}
    greatest: dict[str, Any] = {name: (1 << size) - 1 if size else b"\xff" * 32 for name, size in bits.items()}
    return [plain, replace(plain, parents=parents), replace(plain, **greatest)]


def terms_vectors() -> list[dict[str, Any]]:
    return [
        {
            "terms": asdict(terms),
            "abi": encode([TERMS_TYPE], [terms.as_tuple()]),
            "job": job_id(terms, CHAIN_ID, MARKET),
        }
        for terms in example_terms()
    ]


def bid_vectors() -> list[dict[str, Any]]:
    cases = []
    for i in range(5):
        bid = Bid(word(f"job {i}"), address(f"provider {i}"), Wei(10**18 * i), word(f"key {i}"), 1 << 40, i << 200)
        encoded = encode(["(bytes32,address,uint96,bytes32,uint64,uint256)"], [bid.as_tuple()])
        cases.append({"bid": asdict(bid), "abi": encoded, "digest": bid.digest(CHAIN_ID, MARKET)})
    return cases


def outcome_vectors() -> list[dict[str, Any]]:
    """One, two and eight lanes; scores, a code, nothing delivered and the greatest payout."""
    cases = []
    for i, count in enumerate((1, 2, 8)):
        lanes = tuple(
            AgreedLane(address(f"provider {lane}"), word(f"word {lane}"), 900_000 + lane, Wei(10**18 * lane))
            for lane in range(count)
        )
        lanes = (*lanes[:-1], replace(lanes[-1], word=bytes(32), score=0xFFFFFF02, payout=Wei((1 << 256) - 1)))
        outcome = AgreedOutcome(word(f"job {i}"), (1 << 40) + i, lanes)
        encoded = encode(["(address,bytes32,uint32,uint256)[]"], [[lane.as_tuple() for lane in lanes]])
        told = {"job": outcome.job, "validUntil": outcome.validUntil, "abi": encoded}
        cases.append(told | {"digest": outcome.digest(CHAIN_ID, MARKET)})
    return cases


def commit_vectors() -> list[dict[str, Any]]:
    cases = []
    for i in range(5):
        job, vote, evidence, salt = (word(f"{name} {i}") for name in ("job", "vote", "evidence", "salt"))
        values = {"job": job, "round": 1 + i % 3, "seat": 7**i, "vote": vote, "evidence": evidence, "salt": salt}
        hashed = commit_hash(CHAIN_ID, MARKET, job, 1 + i % 3, 7**i, vote, evidence, salt)
        cases.append(values | {"hash": hashed})
    return cases


def submit_vectors() -> list[dict[str, Any]]:
    cases = []
    for i in range(5):
        parts = {name: word(f"{name} {i}") for name in ("weights_hash", "sealed_hash", "half_b_hash", "envelope_hash")}
        job, provider = word(f"job {i}"), address(f"provider {i}")
        cases.append({"job": job, "provider": provider} | parts | {"word": Submission(**parts).word(job, provider)})
    return cases


def draw_vectors() -> list[dict[str, Any]]:
    """Seats below `dead` are not live: small markets leave places vacant, shown as 2**32 - 1."""
    cases = []
    for i, (n, round_, seat_count, dead) in enumerate([(3, 1, 24, 0), (3, 3, 24, 4), (7, 3, 40, 12), (7, 3, 56, 0)]):
        seed, job, size = word(f"seed {i}"), word(f"job {i}"), round_size(n, round_)
        drawn = draw_committee(seed, job, round_, size, seat_count, dead.__le__)
        seats = [0xFFFFFFFF if seat is None else seat for seat in drawn]
        facts = {"round": round_, "size": size, "seatCount": seat_count, "dead": dead}
        cases.append({"seed": seed, "job": job} | facts | {"seats": seats})
    return cases


def payout_vectors() -> list[dict[str, Any]]:
    """A hundred random curves, half of them lower-is-better, a third of the scores at or just beside a corner."""
    rng = random.Random(2026)
    cases = []
    for i in range(100):
        low, high = sorted(rng.sample(range(2_000_000), 2))
        floor, target = (low, high) if i % 2 == 0 else (high, low)
        near = rng.choice([floor, target]) + rng.choice([-1, 0, 1])
        score = max(near, 0) if i % 3 == 0 else rng.randrange(0, 2_000_000)
        bid, floor_pay = rng.randrange(0, 1 << 80), rng.choice([0, 1, 500_000, 999_999, 1_000_000])
        paid = payout_down(Wei(bid), Ppm(score), Ppm(floor), Ppm(target), Ppm(floor_pay))
        curve = {"floor": floor, "target": target, "floorPay": floor_pay, "score": score}
        cases.append({"bid": str(bid)} | curve | {"payout": str(paid)})
    return cases


def sealing_vectors() -> list[dict[str, Any]]:
    """Data that page and command line seal alike: one file, then two that repeat a row between them."""
    draws = random.Random(7)
    keys = KeyRing(Account.from_key(word("account")), word("root"))
    page = word("page")
    cases = []
    for kind, counts in (("I64", [41]), ("F32", [20, 23])):
        files = [_rows(draws, kind, rows) for rows in counts]
        if len(files) > 1:
            files[1] = files[0]
        salt, loan = word(f"salt {kind}"), lend_keys(keys, wrap_public_key(page), word(f"salt {kind}"), 16)
        sealed = seal(files, keys.data_secret, salt, 16, drop_duplicates=True)
        about = {"page_private": page, "page_public": wrap_public_key(page), "line": loan.line(), "files": files}
        told = {"root": sealed.about.root, "shard_bytes": sealed.about.shard_bytes, "rows": sealed.about.rows}
        cases.append({**about, "salt": salt, "address": keys.address, "leaves": sealed.leaves, **told})
    return cases


def _rows(draws: random.Random, kind: str, rows: int) -> bytes:
    values = struct.pack(f"<{3 * rows}f", *(draws.gauss(0, 1) for _ in range(3 * rows)))
    labels = struct.pack(f"<{rows}{'q' if kind == 'I64' else 'f'}", *(draws.randrange(5) for _ in range(rows)))
    return encode_file({"x": Tensor("F32", (rows, 3), values), "y": Tensor(kind, (rows,), labels)})


def files() -> dict[Path, str]:
    """The text of every vector file."""
    vectors = {
        "terms": terms_vectors(),
        "bid": bid_vectors(),
        "outcome": outcome_vectors(),
        "commit": commit_vectors(),
        "submit": submit_vectors(),
        "draw": draw_vectors(),
        "payout": payout_vectors(),
        "sealing": sealing_vectors(),
    }
    about = {"chainId": CHAIN_ID, "market": MARKET}
    return {
        FOLDER / f"{name}.json": json.dumps(about | {"count": len(cases), "cases": shown(cases)}, indent=1) + "\n"
        for name, cases in vectors.items()
    }


def main(arguments: list[str]) -> int:
    """Write or compare; returns the exit code."""
    stale = [path for path, text in files().items() if not path.exists() or path.read_text() != text]
    if "--check" not in arguments:
        for path in stale:
            path.write_text(files()[path])
    for path in stale:
        print(path.relative_to(ROOT))
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
