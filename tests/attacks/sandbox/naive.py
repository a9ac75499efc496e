"""The contrast: a container with the engine's defaults, as root, in a network that the test made, and its listener."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from heldout.market.sandbox import RunSpec
from heldout.market.sandbox.hostile.suite import Target
from heldout.market.sandbox.profile import Setting, container_options

LISTENER = """
import socket
with socket.create_server(("", 8000)) as server:
    print("listening", flush=True)
    while True:
        way, _ = server.accept()
        print("heard", flush=True)
        way.sendall(b"token")
        way.close()
"""
KEPT = {"image", "name", "command", "labels", "mounts", "entrypoint"}
"""Of the hardened profile: what to run, where its inputs and /out are, and whose container it is."""


def naive_options(network: str) -> Any:
    """A profile that hardens nothing. The image's own entry point is kept out, so that the programs run at all."""

    def options(spec: RunSpec, setting: Setting) -> dict[str, Any]:
        hardened = container_options(spec, setting)
        variables = spec.variables(inputs="/in", out="/out", scratch="/scratch", tmp="/tmp")
        naive = {name: value for name, value in hardened.items() if name in KEPT}
        for mount in naive["mounts"]:
            mount["ReadOnly"] = False
        return {**naive, "environment": variables, "user": "0:0", "network": network}

    return options


@contextmanager
def listener(image: str) -> Iterator[tuple[str, Target]]:
    """A network that leads nowhere but to one container, which listens: the network's name, and what to call."""
    name = f"heldout-test-{uuid.uuid4().hex[:8]}"
    _docker("network", "create", "--internal", name)
    try:
        _docker("run", "--detach", "--name", name, "--network", name, "--entrypoint", "python3", image, "-c", LISTENER)
        _await(name, "listening")
        address = _docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
        yield name, Target(f"{address}:8000", name, "nobody", lambda: "heard" in _docker("logs", name))
    finally:
        _docker("rm", "--force", name)
        _docker("network", "rm", name)


def _await(name: str, word: str) -> None:
    for _ in range(100):
        if word in _docker("logs", name):
            return
        time.sleep(0.1)
    raise AssertionError(f"the listener never said {word}")


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()
