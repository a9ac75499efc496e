"""`heldout init` leaves a whole job folder or none."""

import argparse
import errno
from pathlib import Path

import pytest

from heldout.requester_cli import scaffold


def test_a_disk_that_fills_leaves_no_half_folder_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = argparse.Namespace(template="digits", folder=tmp_path / "digits", json=True)

    def full(folder: Path) -> list[str]:
        assert (folder / "job.toml").exists()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(scaffold, "_copy_schema", full)
        with pytest.raises(OSError, match="No space left"):
            scaffold.init(args)
    assert not args.folder.exists()
    assert scaffold.init(args) == 0
