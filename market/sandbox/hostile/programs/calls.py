"""Asks the kernel for what no computing job needs. Nothing here does harm if it is allowed."""

import ctypes
import functools
import signal

from hostile import refused, say, syscall

GROUPS = {
    "29": {"ptrace": (101, 117), "process_vm_readv": (310, 270)},
    "30": {"mount": (165, 40), "chroot": (161, 51), "setns": (308, 268), "open_by_handle_at": (304, 265)},
    "32": {"add_key": (248, 217), "keyctl": (250, 219), "request_key": (249, 218)},
    "33": {
        "bpf": (321, 280),
        "perf_event_open": (298, 241),
        "userfaultfd": (323, 282),
        "io_uring_setup": (425, 425),
    },
    "36": {
        "reboot": (169, 142),
        "init_module": (175, 105),
        "finit_module": (313, 273),
        "clock_settime": (227, 112),
        "syslog": (103, 116),
        "personality": (135, 92),
    },
    "46": {"fsopen": (430, 430), "move_mount": (429, 429), "pivot_root": (155, 41), "quotactl": (179, 60)},
    "47": {"kcmp": (312, 272), "pidfd_getfd": (438, 438)},
    "48": {"inotify_init1": (294, 26), "fanotify_init": (300, 262)},
    "49": {"shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180)},
    "50": {"kexec_load": (246, 104), "swapon": (167, 224), "acct": (163, 89), "setuid": (105, 146)},
    "51": {"sched_setscheduler": (144, 119), "ioprio_set": (251, 30), "mlockall": (151, 230), "mbind": (237, 235)},
    "52": {"memfd_create": (319, 279), "memfd_secret": (447, 447), "landlock": (444, 444), "seccomp": (317, 277)},
}
NAMESPACES = {"user": 1 << 28, "pid": 1 << 29, "net": 1 << 30, "mount": 1 << 17, "cgroup": 1 << 25}

for case, calls in GROUPS.items():
    say(case, refused({name: functools.partial(syscall, *numbers) for name, numbers in calls.items()}))

unshares = {name: functools.partial(syscall, 272, 97, flag) for name, flag in NAMESPACES.items()}
clones = {
    f"clone {name}": functools.partial(syscall, 56, 220, flag | signal.SIGCHLD, 0, 0, 0, 0)
    for name, flag in NAMESPACES.items()
}
wide = ctypes.create_string_buffer((1 << 28).to_bytes(8, "little") + bytes(80))
clones["clone3"] = functools.partial(syscall, 435, 435, ctypes.addressof(wide), 88)
say("31", refused({**unshares, **clones}))
