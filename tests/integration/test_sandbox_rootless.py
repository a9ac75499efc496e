"""A rootless engine, started by a user without any privilege: offered for what it can limit, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from heldout.market.sandbox import STANDARD, Runner, SandboxRefused, open_runner
from heldout.market.sandbox.engine import address_of
from heldout.provider.sandboxing import offered_tiers
from tests.rootless import KINDS, rootless_engine
from tests.sandbox_jobs import Bench

pytestmark = [pytest.mark.integration, pytest.mark.deep]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rootless(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Runner]:
    """The engine, found where the node looks for a user's own socket."""
    with rootless_engine(kind) as socket:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(socket.parents[1]))
        if kind == "docker":
            monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
        else:
            assert address_of(kind) == f"unix://{socket}"
        yield open_runner(kind, tmp_path / "state", chain_id=1)


def test_a_rootless_engine_is_offered_for_what_it_limits_only(kind: str, rootless: Runner, tmp_path: Path) -> None:
    """Issue 5 item 3. Podman says of itself that it limits memory, also where nobody gave its user a cgroup."""
    facts = asyncio.run(rootless.facts())
    assert facts is not None and facts.rootless and facts.kind == kind
    assert not facts.runtimes and facts.freezes is (facts.cgroup == "2")
    assert "limit" in facts.missing[STANDARD]
    assert offered_tiers(None, facts, devnet=True) == frozenset()
    with pytest.raises(SandboxRefused, match="cannot run standard jobs"):
        asyncio.run(rootless.start(Bench(rootless, "sha256:" + "0" * 64, tmp_path).spec("pass")))
