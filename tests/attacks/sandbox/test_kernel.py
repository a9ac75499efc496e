"""Jobs that ask the kernel for what they must not have. Threat row 59; numbers are those of the 44 hostile cases."""

from __future__ import annotations

import ast
import platform
from collections.abc import Callable

import pytest

from heldout.market.sandbox import RunReport
from heldout.market.sandbox.places import UIDS

pytestmark = [pytest.mark.attack, pytest.mark.docker]
Attack = Callable[..., tuple[RunReport, list[str]]]

# name: (x86_64, aarch64)
REFUSED = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "finit_module": (313, 273),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "inotify_init1": (294, 26),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "setns": (308, 268),
    "setuid": (105, 146),
    "shmget": (29, 194),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
GETPID = (39, 172)
CLONE3 = (435, 435)


def test_calls_outside_the_list_are_refused_before_the_kernel_looks_at_them(attack: Attack) -> None:
    """Cases 22 and 29 to 36. `getpid` shows that the probe can tell a yes."""
    column = 1 if platform.machine() == "aarch64" else 0
    calls = {name: numbers[column] for name, numbers in {**REFUSED, "getpid": GETPID, "clone3": CLONE3}.items()}
    _, log = attack(
        f"for name, number in {calls!r}.items(): print(name, tried(lambda: syscall(number, 0, 0, 0, 0, 0)))"
    )
    answers = dict(line.split() for line in log)
    assert answers.pop("getpid") == "allowed"
    assert answers.pop("clone3") == "ENOSYS"
    assert answers == dict.fromkeys(REFUSED, "EPERM")


def test_a_thread_may_be_cloned_but_no_namespace(attack: Attack) -> None:
    """Case 31: the flags of clone are looked at bit by bit."""
    _, log = attack("""
import signal, threading
thread = threading.Thread(target=lambda: print("thread runs"))
thread.start()
thread.join()
number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
for flag in (0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x02000000, 0x08000000, 0x04000000):
    print(tried(lambda: syscall(number, flag | signal.SIGCHLD, 0, 0, 0, 0)))
""")
    assert log == ["thread runs"] + ["EPERM"] * 7


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_PACKET", "AF_NETLINK", "AF_ALG", "AF_VSOCK"])
def test_no_socket_but_a_local_one_can_be_made(attack: Attack, family: str) -> None:
    """Cases 18 to 22: metadata services, gateways and other hosts are out of reach since there is no way to ask."""
    _, log = attack(f"""
kind = socket.SOCK_RAW if "{family}" == "AF_PACKET" else socket.SOCK_STREAM
print(tried(lambda: socket.socket(socket.{family}, kind)))
socket.socketpair()
print("pair", sorted(os.listdir("/sys/class/net")))
""")
    assert log == ["EPERM", "pair ['lo']"]


def test_the_job_holds_no_privilege_and_cannot_gain_one(attack: Attack) -> None:
    """Case 34."""
    _, log = attack("""
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(status["Uid"].split(), status["Gid"].split(), status["NoNewPrivs"], status["Seccomp"], os.getgroups())
print({status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")})
print([path for root in ("/usr", "/opt") for path, _, names in os.walk(root)
       for name in names if os.lstat(os.path.join(path, name)).st_mode & 0o6000])
""")
    uids, gids, rest = log[0].partition("] [")[0] + "]", "[" + log[0].split("] [")[1].split("]")[0] + "]", log[0][-8:]
    assert uids == gids and len(set(ast.literal_eval(uids))) == 1 and int(ast.literal_eval(uids)[0]) in UIDS
    assert " 1 2 " in log[0] and rest
    assert log[1:] == ["{'0000000000000000'}", "[]"]


def test_the_host_shows_no_door(attack: Attack) -> None:
    """Cases 23, 24 and 26."""
    _, log = attack("""
for path in ("/run/docker.sock", "/dev/kmsg", "/dev/mem", "/dev/loop-control", "/dev/vda", "/dev/kvm"):
    print(path, os.path.exists(path))
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger"):
    print(path, tried(lambda: open(path, "w").write("x")))
print(tried(lambda: open("/proc/kcore", "rb").read(1)), tried(lambda: open("/etc/shadow").read()))
print({line.split()[0] for line in open("/proc/kallsyms").readlines()[:9]} <= {"0000000000000000"})
print([name for name in os.environ if "KEY" in name or "PASS" in name or "SSH" in name or "DOCKER" in name])
print(sorted(os.listdir("/dev")))
""")
    assert all(line.endswith("False") for line in log[:6])
    assert {line.split()[1] for line in log[6:9]} <= {"EROFS", "ENOENT", "EACCES"}
    kcore, shadow = log[9].split()
    assert kcore in ("allowed", "ENOENT", "EPERM", "EACCES")  # where it exists it is masked by an empty file
    assert shadow == "EACCES"
    assert log[10:12] == ["True", "[]"]
    allowed = {"core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm"}
    assert set(ast.literal_eval(log[12])) <= allowed | {"stderr", "stdin", "stdout", "tty", "urandom", "zero"}
