"""Looks for doors to the host: sockets, devices, settings, secrets; and at what the host shows of itself."""

import os

from hostile import say, told, tried

SOCKETS = ("docker.sock", "containerd/containerd.sock", "podman/podman.sock", "crio/crio.sock")
SETTINGS = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/kernel/modprobe",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/release_agent",
)
SECRETS = (
    "/dev/mem",
    "/dev/kmsg",
    "/proc/kcore",
    "/etc/shadow",
    "/proc/1/root/etc/shadow",
    "/proc/keys",
    "/proc/timer_list",
)
DEVICES = {"core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty"}
DEVICES |= {"urandom", "zero", "console", "net"}


def opened(paths, mode):
    """Those of `paths` that could be opened, written to or read from."""

    def use(path):
        with open(path, mode, buffering=0) as file:
            if mode == "rb":
                if not file.read(16):
                    raise FileNotFoundError(2, "masked by an empty file")
            else:
                file.write(b"1")

    return " ".join(path for path in paths if tried(lambda path=path: use(path)) == "allowed") or "none"


def addresses():
    """Kernel addresses that are shown."""
    try:
        with open("/proc/kallsyms") as table:
            shown = {next(table, "0 ").split()[0] for _ in range(64)}
    except OSError:
        return "none"
    return "none" if {part.strip("0") for part in shown} <= {""} else "shown"


def lowered():
    """Whether the kernel's out-of-memory killer can be turned away from this process."""
    try:
        with open("/proc/self/oom_score_adj", "r+") as file:
            file.write("-1")
    except OSError:
        return "kept"
    with open("/proc/self/oom_score_adj") as file:
        return "kept" if int(file.read()) >= 0 else "lowered"


found = [f"{place}/{name}" for place in ("/run", "/var/run") for name in SOCKETS if os.path.exists(f"{place}/{name}")]
say("23", " ".join(found) or "none")
say("24", opened(SETTINGS, "wb"))
say("25", lowered())
say("26", opened(SECRETS, "rb"))
say("27", addresses())
say("54", " ".join(sorted(set(os.listdir("/dev")) - DEVICES)) or "none")
words = ("KEY", "PASS", "SECRET", "TOKEN", "SSH", "DOCKER", "HELDOUT_HOME")
say("55", " ".join(name for name in os.environ if any(word in name for word in words)) or "none")
say("28", "hidden" if os.uname().release != told("KERNEL") else "shown")
with open("/proc/meminfo") as file:
    say("56", "hidden" if file.readline().split()[1] != told("MEMORY_KB") else "shown")
with open("/proc/self/mountinfo") as file:
    say("57", "shown" if told("STATE") in file.read() else "hidden")
