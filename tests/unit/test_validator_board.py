"""What a running node shows, and what it leaves behind (P4.7, P11d, threat 46)."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
from builders import JOB
from prometheus_client import CollectorRegistry, generate_latest

from heldout.market.chain.views import Block
from heldout.market.errors import HeldoutError
from heldout.market.money import Wei
from heldout.market.terms import BlockNumber, Timestamp
from heldout.validator import board
from heldout.validator.board import Board
from heldout.validator.duties import Duty
from heldout.validator.node import Entry
from heldout.validator.run import emptied

HEAD = Block(BlockNumber(77), "0x01", "0x00", Timestamp(1_000), Wei(7))
VOTED = Entry(Duty(JOB, 1, 5, 1, "voted", Timestamp(1_060), Timestamp(1_120)), None)
OPEN = Entry(Duty(JOB, 1, 6, 2, "revealed", None, Timestamp(1_120)), (961_111,))


def test_the_calendar_is_shown_with_votes_that_are_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """P4.7"""
    Board(tmp_path, True, CollectorRegistry()).show(HEAD, [VOTED, OPEN])
    assert board.duties(Namespace(home=tmp_path, json=False, network=None)) == 0
    header, voted, revealed, freshness = capsys.readouterr().out.splitlines()
    assert header.split() == ["job", "round", "seat", "state", "commit", "by", "reveal", "by", "my", "vote"]
    assert voted.endswith("–") and "(in 1 min)" in voted and "(in 2 min)" in voted
    assert revealed.endswith("0.961111")
    assert freshness.startswith("as of block 77")


def test_the_metrics_count_duties_and_tell_no_score() -> None:
    """P4.7"""
    registry = CollectorRegistry()
    shown = Board(Path("/nonexistent"), True, registry)
    shown.show(HEAD, [VOTED, OPEN])
    told = generate_latest(registry).decode()
    assert 'heldout_duties{state="voted"} 1.0' in told and "961" not in told
    shown.show(HEAD, [])
    assert "voted" not in generate_latest(registry).decode()


def test_a_disk_that_takes_nothing_does_not_stop_the_node(caplog: pytest.LogCaptureFixture) -> None:
    """Threat 46"""
    Board(Path("/proc/nonexistent"), True, CollectorRegistry()).show(HEAD, [VOTED])
    assert "cannot be written" in caplog.text


def test_a_node_that_never_ran_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(HeldoutError) as refused:
        board.read(tmp_path)
    assert refused.value.code == "not_running" and "heldout validator run" in refused.value.hint


def test_others_cannot_read_the_board(tmp_path: Path) -> None:
    Board(tmp_path, True, CollectorRegistry()).show(HEAD, [VOTED])
    assert (tmp_path / board.FILE).stat().st_mode & 0o077 == 0
    assert json.loads((tmp_path / board.FILE).read_text())["duties"][0]["vote"] is None


def test_plaintext_that_a_killed_node_left_is_gone_at_the_next_start(tmp_path: Path) -> None:
    """P11d"""
    left = tmp_path / "scratch" / "job"
    left.mkdir(parents=True)
    (left / "rows").write_bytes(b"held out")
    with emptied(tmp_path / "scratch") as folder:
        assert not left.exists()
        folder.mkdir()
    assert not folder.exists()
