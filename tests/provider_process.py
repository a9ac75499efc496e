"""The provider's own program as a process on a devnet, for tests that play every other part."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scripted_job import ScriptedJob

from heldout.devnet.devnet import Devnet
from heldout.market.failpoint import VARIABLE

PROVIDER = "provider-0"
PRICE = "600"
"""A job-hour; the scripted job reserves a minute, so that a bid is 10 tokens."""


def set_up(net: Devnet, *, runner: str, **settings: str) -> None:
    """Keys, configuration and collateral, by the commands that a person would use; `settings` replace lines of
    provider.toml."""
    net.keys(PROVIDER)
    heldout(net, "provider", "init", "--price", PRICE, "--runner", runner)
    config = net.home(PROVIDER) / "provider.toml"
    for key, value in settings.items():
        changed = re.sub(rf"(?m)^{key} = [^#\n]*", f"{key} = {value} ", config.read_text(), count=1)
        assert changed != config.read_text(), key
        config.write_text(changed)
    heldout(net, "provider", "deposit", "1000")


def heldout(net: Devnet, *words: str) -> Any:
    """What a command of the provider's says, as JSON."""
    done = subprocess.run(net.command(*words, "--json", home=PROVIDER), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def provider(net: Devnet, failpoint: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A running node; ended, if it still runs, when the test is done with it."""
    with (net.state / "provider.log").open("ab") as log:
        child = subprocess.Popen(
            net.command("provider", "run", "--period", "0.2", home=PROVIDER),
            env={**os.environ, VARIABLE: failpoint},
            stdout=log,
            stderr=log,
        )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            child.terminate()
        child.wait(30)


def story(net: Devnet) -> str:
    return (net.state / "provider.log").read_text()


def leftovers(net: Devnet, job: ScriptedJob) -> list[Path]:
    return [path for path in net.home(PROVIDER).rglob("*") if path.name == job.id]
