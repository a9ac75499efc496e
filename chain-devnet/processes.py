"""The devnet's own processes: started with a log each, remembered in a file, and the only ones ever stopped."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

PATIENCE_S = 10.0
"""Between asking a process to end and ending it."""
_POLL_S = 0.05


class Processes:
    """Processes by name, in `state/pids.json`. A pid that somebody else got meanwhile is told by its birth."""

    def __init__(self, state: Path) -> None:
        self._file = state / "pids.json"
        self._logs = state / "logs"
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> int:
        """In a session of its own, so that ^C in this terminal reaches only this process. Returns the pid."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with open(self._logs / f"{name}.log", "ab") as log:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self._children[name] = child
        self._write({**self._read(), name: {"pid": child.pid, "birth": _birth(child.pid)}})
        return child.pid

    def running(self) -> dict[str, int]:
        """Name to pid of those that live."""
        return {name: each["pid"] for name, each in self._read().items() if self._lives(name, each)}

    def log_tail(self, name: str, lines: int = 15) -> str:
        path = self._logs / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def stop(self, *names: str) -> None:
        """End the named processes, all if none is named: asked first, and after PATIENCE_S ended."""
        records = {name: each for name, each in self._read().items() if not names or name in names}
        for signal_ in (signal.SIGTERM, signal.SIGKILL):
            for name, record in records.items():
                if self._lives(name, record):
                    with suppress(ProcessLookupError):
                        os.kill(record["pid"], signal_)
            give_up = time.monotonic() + PATIENCE_S
            while any(self._lives(*each) for each in records.items()) and time.monotonic() < give_up:
                time.sleep(_POLL_S)
        if records:
            self._write({name: each for name, each in self._read().items() if name not in records})

    def _lives(self, name: str, record: dict[str, Any]) -> bool:
        child = self._children.get(name)
        if child is not None and child.pid == record["pid"]:
            return child.poll() is None
        return bool(record["birth"]) and _birth(record["pid"]) == record["birth"]

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self._file.exists():
            return {}
        records: dict[str, dict[str, Any]] = json.loads(self._file.read_text())
        return records

    def _write(self, records: dict[str, dict[str, Any]]) -> None:
        scratch = self._file.with_suffix(".new")
        scratch.write_text(json.dumps(records, indent=1))
        scratch.replace(self._file)


def _birth(pid: int) -> str:
    """When a process was started, as the system spells it; empty if there is none, or only its zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] == "Z" else fields[19]
    told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return told.stdout.strip()
