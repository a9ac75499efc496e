"""Who am I, and can I become more?"""

import ctypes
import os
import resource

from hostile import libc, say, told, tried

with open("/proc/self/status") as file:
    status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
capabilities = {status.get(name, "").strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
no_new = libc.prctl(39, 0, 0, 0, 0)  # PR_GET_NO_NEW_PRIVS: gVisor's /proc does not show it
say("34", "root" if os.getuid() == 0 or tried(lambda: os.setuid(0)) == "allowed" else f"nobody, NoNewPrivs={no_new}")
say("62", "none" if {part.strip("0") for part in capabilities} == {""} else " ".join(sorted(capabilities)))
set_id = [
    os.path.join(path, name)
    for root in ("/usr", "/opt", "/bin", "/sbin")
    for path, _, names in os.walk(root)
    for name in names
    if os.lstat(os.path.join(path, name)).st_mode & 0o6000
]
say("63", " ".join(set_id) or "none")
say("64", " ".join(str(group) for group in os.getgroups() if group != os.getgid()) or "none")

granted = os.sched_getaffinity(0)
tried(lambda: os.sched_setaffinity(0, range(256)))
say("65", "kept" if os.sched_getaffinity(0) == granted and len(granted) == int(told("CORES")) else "widened")


def raise_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))


def raised():
    try:
        raise_limit()
    except (ValueError, OSError):
        return "refused"
    return "raised"


say("66", raised() if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 else "core dumps")
buffer = ctypes.create_string_buffer(64)
say("67", tried(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5)))
say("68", "same" if os.readlink("/proc/self/ns/pid") == told("PID_NAMESPACE") else "own")
