"""Engines of a user without any privilege, of the test's own, each with its own socket and folders.

podman   its API as that user
docker   dockerd in a user, mount and network namespace of its own, through rootlesskit: as Docker's handbook has it
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

KINDS = ("podman", "docker")
USER, SUBORDINATE = 60500, 2_000_000
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NEEDS = {"podman": ("podman",), "docker": ("rootlesskit", "slirp4netns", "newuidmap", "dockerd")}

# Root becomes a user whom this mount namespace alone knows, with subordinate ids and a tun device that it may open.
BECOME = """
mount --make-rslave /
for file in passwd group subuid subgid; do mount --bind "$1/etc/$file" "/etc/$file"; done
mount --bind "$1/etc/tun" /dev/net/tun
shift
exec setpriv --reuid={user} --regid={user} --clear-groups -- "$@"
"""
DOCKERD = """
rm -f /run/docker /run/containerd
exec dockerd --bridge=none --iptables=false --data-root="$HOME/data" --exec-root="$HOME/exec" \\
    --pidfile="$HOME/docker.pid" --host="unix://$1"
"""


@contextmanager
def rootless_engine(kind: str) -> Iterator[Path]:
    """The socket of an engine that somebody who is not root has started; its folder is XDG_RUNTIME_DIR/kind."""
    missing = [tool for tool in NEEDS[kind] if shutil.which(tool, path=PATH) is None]
    if missing:
        assert not os.environ.get("HELDOUT_REQUIRE_ROOTLESS"), f"./run deep has installed {missing}"
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = Path(tempfile.mkdtemp(prefix="hd-", dir="/var/tmp"))  # that user gets into no tmp_path of root's
    socket = folder / "run" / kind / f"{kind}.sock"
    socket.parent.mkdir(parents=True)
    if os.geteuid() == 0:
        _hand_over(folder)
    with (folder / "log").open("wb") as log:
        service = subprocess.Popen(
            [*(_become(folder) if os.geteuid() == 0 else ()), *_command(kind, socket)],
            cwd="/", env={"PATH": PATH, "HOME": str(folder / "home"), "XDG_RUNTIME_DIR": str(folder / "run")},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        _await(socket, service, folder / "log")
        yield socket
    finally:
        with suppress(ProcessLookupError):
            os.killpg(service.pid, signal.SIGTERM)
        service.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _command(kind: str, socket: Path) -> Sequence[str]:
    if kind == "podman":
        return ("podman", "--cgroup-manager=cgroupfs", "system", "service", "--time=0", f"unix://{socket}")
    kit = ("rootlesskit", "--net=slirp4netns", "--mtu=65520", "--disable-host-loopback")
    return (*kit, "--copy-up=/etc", "--copy-up=/run", "sh", "-c", DOCKERD, "dockerd", str(socket))


def _hand_over(folder: Path) -> None:
    """Everything of that user's own, and the files that say who it is."""
    folder.chmod(0o755)
    for path in (folder / "home", folder / "etc"):
        path.mkdir()
    for path in (folder / "home", folder / "run", *(folder / "run").iterdir()):
        os.chown(path, USER, USER)
    entries = {"passwd": f"heldout-test:x:{USER}:{USER}::{folder}/home:/bin/sh", "group": f"heldout-test:x:{USER}:"}
    for name, entry in entries.items():
        (folder / "etc" / name).write_text(f"{Path('/etc', name).read_text()}{entry}\n")
    for name in ("subuid", "subgid"):
        Path("/etc", name).touch()
        (folder / "etc" / name).write_text(f"heldout-test:{SUBORDINATE}:65536\n")
    os.mknod(folder / "etc" / "tun", 0o600 | 0o020000, os.makedev(10, 200))
    os.chmod(folder / "etc" / "tun", 0o666)


def _become(folder: Path) -> Sequence[str]:
    return ("unshare", "--mount", "sh", "-ec", BECOME.format(user=USER), "become", str(folder))


def _await(socket: Path, service: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 120
    while not socket.exists():
        if service.poll() is not None or time.monotonic() > give_up:
            pytest.fail(f"the engine does not start: {log.read_text()[-1500:]}")
        time.sleep(0.1)
