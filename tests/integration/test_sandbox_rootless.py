"""A rootless engine, started by a user without any privilege: offered for what it can limit, and nothing else."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from heldout.market.sandbox import STANDARD, Runner, SandboxRefused, open_runner
from heldout.market.sandbox.engine import address_of
from heldout.provider.sandboxing import offered_tiers
from tests.engines import require
from tests.sandbox_jobs import Bench

pytestmark = [pytest.mark.integration, pytest.mark.deep]

NOBODY = 65534


@pytest.fixture
def rootless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Runner]:
    """Podman's service of somebody who is not root, where the node looks for a user's own socket first."""
    require("podman")
    folder = Path(tempfile.mkdtemp(prefix="heldout-rootless-", dir="/var/tmp"))  # nobody gets into tmp_path
    socket = folder / "podman" / "podman.sock"
    socket.parent.mkdir()
    become: list[str] = []
    if os.geteuid() == 0:
        for path in (folder, socket.parent):
            os.chown(path, NOBODY, NOBODY)
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    command = ["podman", "--cgroup-manager=cgroupfs", "system", "service", "--time=0", f"unix://{socket}"]
    with (folder / "log").open("wb") as log:
        service = subprocess.Popen(
            [*become, "env", f"HOME={folder}", *command], cwd="/", stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(300):
            if socket.exists() or service.poll() is not None:
                break
            time.sleep(0.1)
        if not socket.exists():
            pytest.skip(f"no rootless Podman on this kernel: {(folder / 'log').read_text()[-300:]}")
        yield open_runner("podman", tmp_path / "state", chain_id=1)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(service.pid, 15)
        service.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_rootless_engine_is_offered_for_what_it_limits_only(rootless: Runner, tmp_path: Path) -> None:
    """Issue 5 item 3. Podman says of itself that it limits memory, also where the kernel gives a user no cgroup."""
    assert str(os.environ["XDG_RUNTIME_DIR"]) in address_of("podman")
    facts = asyncio.run(rootless.facts())
    assert facts is not None and facts.rootless and facts.kind == "podman"
    if facts.cgroup != "1":
        pytest.skip("cgroup v2: what this engine holds is for the doctor to find out")
    assert not facts.runtimes and not facts.freezes
    assert "limits neither memory nor tasks nor CPU" in facts.missing[STANDARD]
    assert offered_tiers(None, facts, devnet=True) == frozenset()
    with pytest.raises(SandboxRefused, match="cannot run standard jobs"):
        asyncio.run(rootless.start(Bench(rootless, "sha256:" + "0" * 64, tmp_path).spec("pass")))
