"""The journal: what a node must not forget (threats 41 to 48)."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heldout.market.errors import AlreadyRunning, HeldoutError
from heldout.market.journal import Journal, JournalProblem, is_held


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path) as opened:
        yield opened


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    with Journal(tmp_path) as first:
        first.put("vote:1", {"salt": "0x01"})
        first.put("vote:1", {"salt": "0x02"})
        first.put("vote:2", {})
        first.delete("vote:2")
    with Journal(tmp_path) as second:
        assert second.items() == [("vote:1", {"salt": "0x02"})]
        assert second.get("vote:2") is None


def test_items_of_a_prefix_come_in_the_order_of_their_keys(journal: Journal) -> None:
    for key in ("tx:b", "tx:a", "ty:a", "t%:a"):
        journal.put(key, {"key": key})
    assert [key for key, _ in journal.items("tx:")] == ["tx:a", "tx:b"]
    assert [key for key, _ in journal.items("t%")] == ["t%:a"]


def test_a_second_process_on_the_same_directory_is_refused(journal: Journal, tmp_path: Path) -> None:
    """Threat 44."""
    with pytest.raises(AlreadyRunning):
        Journal(tmp_path)
    code = "import sys, pathlib; from heldout.market.journal import Journal; Journal(pathlib.Path(sys.argv[1]))"
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "AlreadyRunning" in other.stderr


def test_others_can_tell_whether_a_process_holds_the_directory(tmp_path: Path) -> None:
    assert is_held(tmp_path / "none") is False
    with Journal(tmp_path):
        assert is_held(tmp_path) is True
    assert is_held(tmp_path) is False


def test_a_killed_process_leaves_what_it_put_and_no_lock(tmp_path: Path) -> None:
    """Threat 41: kill -9 right after `put` returned."""
    code = (
        "import os, signal, sys, pathlib; from heldout.market.journal import Journal;"
        "Journal(pathlib.Path(sys.argv[1])).put('commit', {'salt': 7}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with Journal(tmp_path) as journal:
        assert journal.get("commit") == {"salt": 7}


def test_a_flipped_byte_is_never_silently_used(tmp_path: Path) -> None:
    """Threat 47: whichever byte of the file is flipped, the records are the same or the journal refuses to open."""
    with Journal(tmp_path) as journal:
        journal.put("commit:0xabc", {"salt": "0x1234", "vote": "0x5678"})
        journal.put("commit:0xdef", {"salt": "0x9abc"})
        written = journal.items()
    path = tmp_path / "journal.db"
    whole = path.read_bytes()
    rows = [i for i, byte in enumerate(whole) if byte]  # zeros are free space, but for a few header fields
    refused = 0
    for place in rows:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        for leftover in tmp_path.glob("journal.db-*"):
            leftover.unlink()
        try:
            with Journal(tmp_path) as damaged:
                assert damaged.items() == written, f"byte {place}"
        except JournalProblem:
            refused += 1
    assert refused > len(rows) // 2


def test_a_missing_row_is_noticed(tmp_path: Path) -> None:
    import sqlite3

    with Journal(tmp_path) as journal:
        journal.put("a", {})
        journal.put("b", {})
    db = sqlite3.connect(tmp_path / "journal.db")
    with db:
        db.execute("DELETE FROM records WHERE key = 'a'")
    db.close()
    with pytest.raises(JournalProblem, match="missing"):
        Journal(tmp_path)


def test_a_journal_that_lost_its_tail_is_refused_or_whole(tmp_path: Path) -> None:
    """Threat 48: a truncated file is a torn write."""
    with Journal(tmp_path) as journal:
        for i in range(60):
            journal.put(f"key:{i}", {"filler": "x" * 200})
    path = tmp_path / "journal.db"
    whole = path.read_bytes()
    for kept in range(0, len(whole), 4096):
        path.write_bytes(whole[:kept])
        try:
            with Journal(tmp_path) as torn:
                assert kept == 0 and torn.items() == []
        except JournalProblem:
            continue


def test_nothing_lies_in_the_write_ahead_log_once_put_returned(journal: Journal, tmp_path: Path) -> None:
    """SQLite drops a damaged tail of that log silently; so the tail is never where a record is."""
    journal.put("commit", {"salt": 1})
    assert (tmp_path / "journal.db-wal").stat().st_size == 0


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    """Threat 46: a limit on file size stands for the full disk."""
    with Journal(tmp_path) as journal:
        journal.put("kept", {"v": 1})
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            with pytest.raises(HeldoutError) as refused:
                journal.put("lost", {"filler": "x" * 100_000})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
        assert refused.value.code == "journal_unwritable"
        journal.put("after", {"v": 2})
    with Journal(tmp_path) as again:
        assert [key for key, _ in again.items()] == ["after", "kept"]


def test_only_its_owner_may_read_it(journal: Journal, tmp_path: Path) -> None:
    """Threat 83."""
    journal.put("secret", {})
    modes = {path.name: os.stat(path).st_mode & 0o077 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(modes, 0)


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    import sqlite3

    Journal(tmp_path).close()
    db = sqlite3.connect(tmp_path / "journal.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JournalProblem, match="version 99"):
        Journal(tmp_path)
