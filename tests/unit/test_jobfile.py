"""The job file: exact values, and errors that name file and line (issue 2 item 8)."""

import json
import re
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from heldout.market.errors import BadJobFile
from heldout.market.money import ONE_TOKEN
from heldout.market.posting.jobfile import SECTIONS, load, parse

TEMPLATE = (files("heldout.requester_cli") / "templates" / "digits" / "job.toml").read_text()
PATH = Path("/jobs/digits/job.toml")
SCHEMA: dict[str, Any] = json.loads((files("heldout.requester_cli") / "job.schema.json").read_text())


def test_the_template_is_read_exactly() -> None:
    job = parse(TEMPLATE, PATH)
    assert (job.score.floor, job.score.target, job.score.floor_pay) == (930_000, 980_000, 500_000)
    assert job.pay.price == 100 * ONE_TOKEN
    assert (job.pay.fee, job.pay.bond, job.pay.collateral, job.image) == (None, None, None, None)
    assert (job.deadlines.bids, job.deadlines.work, job.resources.memory_bytes) == (60, 300, 512 * 2**20)
    assert (job.task_dir, job.graph, job.data) == (
        PATH.parent / "task",
        PATH.parent / "graph.onnx",
        PATH.parent / "data",
    )


def spoiled(old: str, new: str) -> tuple[str, int]:
    """The template with one line changed, and that line's number."""
    line = next(number for number, text in enumerate(TEMPLATE.splitlines(), 1) if text.startswith(old))
    changed = [new if number == line else text for number, text in enumerate(TEMPLATE.splitlines(), 1)]
    return "\n".join(changed), line


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("metric =", 'metric = "beauty"', "'beauty' is not one of accuracy"),
        ("floor =", "floor = 1e9", "floor: 1E+9 is not a number from 0 to"),
        ("floor =", "floor = 0.1234567", "at most six decimals"),
        ("floor =", "floor = true", "is not a number"),
        ("floor =", 'floor = "0.9"', "is not a number"),
        ("floor_pay =", "floor_pay = 1.5", "from 0 to 1"),
        ("floor =", "floor = 96", "accuracy goes from 0 to 1: did you mean 0.96?"),
        ("target =", "target = 98", "accuracy goes from 0 to 1: did you mean 0.98?"),
        ("target =", "target = 1000", "target: accuracy goes from 0 to 1"),
        ("target =", "target = 0.9", "for accuracy higher is better: target must be above floor"),
        ("target =", "target = 0.93", "target must be above floor"),
        ("price =", "price = -1", "is not an amount of tokens"),
        ("price =", 'price = "1e-30"', "is not an amount of tokens"),
        ("price =", "price = nan", "is not an amount of tokens"),
        ("lanes =", "lanes = 9", "from 1 to 8"),
        ("lanes =", "lanes = 1.0", "is not a whole number"),
        ("validators =", "validators = 4", "4 is not one of 3, 5, 7"),
        ("shards =", "shards = 11", "from 16 to 64"),
        ("held_out =", "held_out = 11", "at most half of the 20 shards"),
        ("memory =", 'memory = "much"', "is not a size"),
        ("bids =", 'bids = "soon"', "is not a span of time"),
        ("bids =", "bids = 0", "is not a span of time"),
        ("work =", "work = 60", "work ends before the sandbox's 120 s are over"),
        ("command =", 'command = "python train.py"', "is not a list"),
        ("command =", 'command = ["a\\u0007"]', "is not a line of text"),
        ("graph =", "image = 'heldout/job:latest'", "is not an image id"),
        ("name =", 'nmae = "digits"', "has no key 'nmae'"),
        ("[pay]", "[wages]", "there is no section [wages]"),
    ],
)
def test_a_wrong_value_is_refused_with_its_line(old: str, new: str, says: str) -> None:
    text, line = spoiled(old, new)
    with pytest.raises(BadJobFile) as refused:
        parse(text, PATH)
    assert refused.value.code == "bad_job_file"
    assert says in refused.value.message
    assert refused.value.message.startswith(f"{PATH}:{line}: ")


def test_broken_syntax_is_refused_with_its_line() -> None:
    text, line = spoiled("lanes =", "lanes = = 1")
    with pytest.raises(BadJobFile, match=f"^{PATH}:{line}: "):
        parse(text, PATH)


def test_a_missing_key_is_told_at_its_section() -> None:
    text, _ = spoiled("graph =", "")
    line = TEMPLATE.splitlines().index("[task]") + 1
    with pytest.raises(BadJobFile, match=f":{line}: .*lacks graph"):
        parse(text, PATH)


def test_for_a_loss_the_target_lies_below_the_floor() -> None:
    text = TEMPLATE.replace('metric = "accuracy"', 'metric = "rmse"')
    with pytest.raises(BadJobFile, match="for rmse lower is better"):
        parse(text, PATH)
    job = parse(text.replace("floor = 0.93", "floor = 3.5").replace("target = 0.98", "target = 1.25"), PATH)
    assert (job.score.floor, job.score.target) == (3_500_000, 1_250_000)


def test_an_absent_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadJobFile) as refused:
        load(tmp_path)
    assert "heldout init" in refused.value.hint


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadJobFile, match="not UTF-8"):
        load(tmp_path)


def test_the_schema_takes_the_template_and_names_every_key() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(tomllib.loads(TEMPLATE), SCHEMA)
    assert {name: set(fields) for name, fields in SECTIONS.items()} == {
        name: set(section["properties"]) for name, section in SCHEMA["properties"].items()
    }


@pytest.mark.parametrize(
    ("old", "new"), [("metric =", 'metric = "beauty"'), ("lanes =", "lanes = 9"), ("name =", 'nmae = "digits"')]
)
def test_the_schema_refuses_what_the_reader_refuses(old: str, new: str) -> None:
    text, _ = spoiled(old, new)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), SCHEMA)


ARTIFACT, PAYEE = "0x" + "ab" * 32, "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def with_royalties(*royalties: str) -> str:
    return TEMPLATE.replace("[pay]\n", f"[pay]\nroyalties = [{', '.join(royalties)}]\n")


def royalty(percent: str, artifact: str = ARTIFACT, payee: str = PAYEE) -> str:
    return f'{{ artifact = "{artifact}", payee = "{payee}", percent = {percent} }}'


def test_what_a_job_builds_on_is_read_in_basis_points() -> None:
    """P7.3."""
    assert parse(TEMPLATE, PATH).pay.royalties == ()
    first, second = parse(with_royalties(royalty("2.25"), royalty("10")), PATH).pay.royalties
    assert (first.artifact, first.payee, first.bps) == (b"\xab" * 32, PAYEE, 225)
    assert second.bps == 1000


@pytest.mark.parametrize(
    ("royalties", "says"),
    [
        ([royalty("5")] * 5, "5 royalties, 25 % in sum"),
        ([royalty("15"), royalty("5.01")], "2 royalties, 20.01 % in sum"),
        ([royalty("0.001")], "finer than a basis point"),
        ([royalty("-1")], "is not a number from 0 to 20"),
        ([royalty("1", artifact="0xab")], "is not an artifact's id"),
        ([royalty("1", payee="0xab")], "is not an address"),
        (['{ artifact = "0x" }'], "is not a royalty"),
    ],
)
def test_royalties_that_the_contract_would_refuse_are_refused_with_their_line(royalties: list[str], says: str) -> None:
    with pytest.raises(BadJobFile, match=re.escape(says)) as refused:
        parse(with_royalties(*royalties), PATH)
    line = next(n for n, text in enumerate(with_royalties(*royalties).splitlines(), 1) if text.startswith("royalties"))
    assert f"{PATH}:{line}:" in refused.value.message


def test_a_bomb_of_brackets_is_a_bad_job_file() -> None:
    """The wizard's draft is any stranger's text. Here with Python's own limit, which a library may have lifted."""
    lifted = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        with pytest.raises(BadJobFile):
            parse("data = " + "[" * 50_000, PATH)
    finally:
        sys.setrecursionlimit(lifted)
