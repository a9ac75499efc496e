"""Task manifests (P2.3): canonical, plain, and refused otherwise."""

import json
from dataclasses import replace

import pytest

from heldout.market.errors import BadManifest
from heldout.market.manifest import Manifest, Resources, TaskFile

GOOD = Manifest(
    files=(TaskFile("train.py", "ab" * 32, 100),),
    image={"linux/amd64": "sha256:" + "cd" * 32},
    command=("python3", "/in/task/train.py"),
    resources=Resources(1, 2**30, 2**28, 0, 300),
    graph=TaskFile("graph.onnx", "ef" * 32, 10),
    metric="accuracy",
    scorer="score-v1",
)


def test_a_manifest_survives_its_encoding_and_names_itself() -> None:
    assert Manifest.decode(GOOD.encode()) == GOOD
    assert len(GOOD.task_hash) == 32


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/./b", "", ".hidden", "a\nb", "x" * 200, "a/b/c/d/e/f/g/h/i"])
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    """Threat 81"""
    with pytest.raises(BadManifest, match="path"):
        replace(GOOD, files=(TaskFile(path, "ab" * 32, 1),)).check()


@pytest.mark.parametrize(
    "change",
    [
        {"files": GOOD.files * 2},
        {"files": tuple(TaskFile(f"f{i}", "ab" * 32, 1) for i in range(257))},
        {"graph": TaskFile("graph.onnx", "EF" * 32, 10)},
        {"image": {}},
        {"image": {"linux/amd64": "latest"}},
        {"command": ()},
        {"resources": Resources(1, -1, 1, 0, 1)},
        {"resources": Resources(True, 1, 1, 0, 1)},
        {"scorer": 1},
        {"metric": ["accuracy"]},
        {"resources": Resources(1, 1, 1, 2**53, 1)},
    ],
)
def test_an_unsound_manifest_is_refused(change: dict[str, object]) -> None:
    """Threat 85: an image tag is not a pin."""
    with pytest.raises(BadManifest):
        replace(GOOD, **change).check()


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", json.dumps(json.loads(GOOD.encode()), indent=1).encode()])
def test_bytes_that_are_not_the_canonical_text_are_refused(data: bytes) -> None:
    with pytest.raises(BadManifest):
        Manifest.decode(data)
