"""The wizard's page and the routes behind it: its form is the job file, and its words are the command line's."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from html import unescape
from typing import Any

import pytest
from starlette.testclient import TestClient

from heldout.market.manifest import Manifest
from heldout.market.posting.jobfile import SECTIONS
from heldout.market.service.pages.site import connecting_policy
from heldout.requester_cli.scaffold import steps
from tests.html_reader import read
from tests.scenery import small_market
from tests.service_app import NETWORK, service

IMAGE = "sha256:" + "ab" * 32
STORE = "https://store.example:8443"
JOB = """
[job]
name = "unit"
[task]
command = ["python", "/in/task/train.py"]
graph = "graph.onnx"
[data]
path = "data"
[score]
metric = "accuracy"
floor = 0.9
target = 0.95
[pay]
price = 100
"""
TASK: dict[str, Any] = {
    "job_file": JOB,
    "files": [{"path": "train.py", "sha256": "cd" * 32, "bytes": 12}],
    "graph": {"path": "graph.onnx", "sha256": "ef" * 32, "bytes": 99},
}
HASH = "0x" + "11" * 32
DRAFT: dict[str, Any] = {
    "requester": "0x" + "22" * 20,
    "wrap_key": HASH,
    "job_file": JOB,
    "task": HASH,
    "salt": HASH,
    "root": HASH,
    "shard_bytes": 4096,
    "rows": [10] * 20,
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    network = replace(NETWORK, images={"linux/amd64": IMAGE})
    with service(tmp_path_factory.mktemp("wizard"), small_market()["measured"].scenery, network) as (client, _):
        yield client


def test_every_key_of_a_job_file_can_be_answered(client: TestClient) -> None:
    """Files and folders apart, which a page chooses, and what only an author of jobs needs."""
    names = {value for name, value in read(client.get("/post").text).attributes if name == "name" and "." in value}
    keys = {f"{section}.{key}" for section, fields in SECTIONS.items() for key in fields}
    assert keys - names == {"task.dir", "task.graph", "task.image", "data.path", "score.scorer", "pay.royalties"}
    assert names <= keys


def test_only_the_pages_that_upload_may_talk_to_the_stores_and_to_nobody_else(client: TestClient) -> None:
    """Threat 73."""
    policy = connecting_policy((f"{STORE}/some/path", STORE))
    assert f"connect-src 'self' {STORE} {STORE};" in policy
    assert "unsafe" not in policy
    shown = client.get("/post").headers["content-security-policy"]
    assert shown == client.get("/jobs").headers["content-security-policy"], "this network has no store"


def test_without_scripts_the_page_names_the_commands(client: TestClient) -> None:
    text = client.get("/post").text
    without = re.search("<noscript>(.*)</noscript>", text, re.DOTALL)
    assert without
    told = unescape(" && ".join(re.findall("<code>(.*?)</code>", without[1])))
    assert told == " && ".join(["heldout init digits", "cd digits", *steps("digits"), "heldout job post --dry-run"]), (
        "all that `heldout init` names, in its order"
    )


def test_a_manifest_is_the_command_lines_own(client: TestClient) -> None:
    """Its SHA-256 is the task hash, so it has to be canonical to the byte."""
    told = client.post("/v1/manifest", json=TASK).json()["manifest"]
    manifest = Manifest.decode(told.encode())
    assert manifest.task_hash == sha256(told.encode()).digest()
    assert (manifest.image, manifest.command) == ({"linux/amd64": IMAGE}, ("python", "/in/task/train.py"))
    assert [file.path for file in manifest.files] == ["train.py"]


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"job_file": JOB.replace("floor = 0.9\n", "floor = 2000000\n")}, "bad_job_file", "job.toml:"),
        ({"job_file": "[job"}, "bad_job_file", "job.toml:1"),
        ({"files": [{"path": "train.csv", "sha256": "cd" * 32, "bytes": 1}]}, "private_file", "PUBLIC"),
        ({"files": [{"path": "trian.py", "sha256": "cd" * 32, "bytes": 1}]}, "no_such_task_file", "no train.py"),
        ({"job_file": JOB.replace("floor = 0.9\n", "floor = 90\n")}, "bad_job_file", "did you mean 0.9?"),
        ({"files": [{"path": "../x", "sha256": "cd" * 32, "bytes": 1}]}, "bad_manifest", "path"),
        ({"files": TASK["files"] * 2}, "bad_manifest", "twice"),
    ],
)
def test_what_the_command_line_would_refuse_is_refused_in_its_words(
    client: TestClient, changes: dict[str, Any], code: str, word: str
) -> None:
    answer = client.post("/v1/manifest", json={**TASK, **changes})
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == code
    assert word in answer.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"rows": [10] * 16}, 400, "data_changed"),
        ({"rows": [10] * 3}, 422, "bad_request"),
        ({"requester": "me"}, 422, "bad_request"),
        ({"job_file": ""}, 400, "bad_job_file"),
    ],
)
def test_a_draft_that_does_not_hold_together_gets_no_plan(
    client: TestClient, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = client.post("/v1/plan", json={**DRAFT, **changes})
    assert (answer.status_code, answer.json()["code"]) == (status, code), json.dumps(answer.json())
