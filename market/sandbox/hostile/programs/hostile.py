"""What every hostile program says, and how it asks. Runs inside the sandbox, on any Python 3.8 or later, as nobody.

Each program is bounded by itself: it goes a little beyond the limit it tests and no further, for it is also run, for
contrast, in a container that stops nothing.
"""

import ctypes
import errno
import json
import os

libc = ctypes.CDLL(None, use_errno=True)
MIB = 1 << 20
ARM = os.uname().machine == "aarch64"


def limit(name):
    """A limit of this run, by its name in `Limits`."""
    return json.loads(os.environ["HOSTILE_LIMITS"])[name]


def told(name):
    """What the suite says about the host."""
    return os.environ.get("HOSTILE_" + name, "")


def say(case, answer):
    """How the kernel answered case `case`: one line of JSON, among whatever else is printed."""
    print(json.dumps({"case": case, "answer": answer}), flush=True)


def tried(action):
    """The name of the error that `action` met, or `allowed`."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    except MemoryError:
        return "ENOMEM"
    return "allowed"


def syscall(x86, arm, *arguments):
    """A call by number, past every library."""
    if libc.syscall(arm if ARM else x86, *(arguments or (0,) * 6)) < 0:
        raise OSError(ctypes.get_errno(), "")


def refused(actions):
    """`refused` if the kernel looked at none of them; else what it made of those it looked at."""
    answers = {name: tried(action) for name, action in actions.items()}
    reached = {name: answer for name, answer in answers.items() if answer not in ("EPERM", "ENOSYS")}
    return " ".join(f"{name}:{answer}" for name, answer in reached.items()) or "refused"
