"""Taking one file out of a folder that a stranger filled. Threat row 66, hostile cases 38 to 40."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from heldout.market.sandbox import OutputRefused, RunSpec
from heldout.market.sandbox.collector import copy_out
from heldout.market.sandbox.disk import FolderDisks


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_a_regular_file_is_copied_and_hashed(out: Path, tmp_path: Path) -> None:
    (out / "w").write_bytes(b"weights")
    assert copy_out(out, "w", tmp_path / "kept" / "w", 7) == (hashlib.sha256(b"weights").digest(), 7)
    (out / "w").write_bytes(b"changed")
    assert (tmp_path / "kept" / "w").read_bytes() == b"weights"


def test_a_pipe_is_refused_without_waiting_for_a_writer(out: Path, tmp_path: Path) -> None:
    os.mkfifo(out / "w")
    with pytest.raises(OutputRefused, match="not a regular file"):
        copy_out(out, "w", tmp_path / "kept", 100)


def test_a_link_is_refused_even_to_a_good_file(out: Path, tmp_path: Path) -> None:
    (out / "real").write_bytes(b"x")
    (out / "w").symlink_to("real")
    with pytest.raises(OutputRefused):
        copy_out(out, "w", tmp_path / "kept", 100)


def test_the_folder_itself_may_not_be_a_link(out: Path, tmp_path: Path) -> None:
    (out / "w").write_bytes(b"x")
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(OSError):
        copy_out(tmp_path / "link", "w", tmp_path / "kept", 100)


@pytest.mark.parametrize("name", ["", ".", "..", "../secret", "a/b", "/etc/passwd"])
def test_names_with_a_path_in_them_are_refused(out: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputRefused):
        copy_out(out, name, tmp_path / "kept", 100)


def test_a_file_above_the_limit_leaves_no_copy(out: Path, tmp_path: Path) -> None:
    (out / "w").write_bytes(b"x" * 101)
    with pytest.raises(OutputRefused, match="101 bytes"):
        copy_out(out, "w", tmp_path / "kept", 100)
    assert not (tmp_path / "kept").exists()


def test_folders_that_the_job_shut_are_removed(tmp_path: Path) -> None:
    disks = FolderDisks(tmp_path)
    spec = RunSpec("job", "1", "sha256:00", ["x"], Path("task"), Path("data"), 9e9)
    inner = Path(disks.open(spec, os.geteuid())) / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    assert disks.room("job").bytes > 0 and disks.known() == {"job"}
    inner.chmod(0)
    inner.parent.chmod(0)
    disks.remove("job")
    disks.remove("job")
    assert disks.known() == set()
