"""Ten honest jobs that do what training code does, each close to something that is forbidden: none may be hindered."""

from __future__ import annotations

WEIGHTS = """
import numpy, pathlib
from safetensors.numpy import save_file
save_file({"w": numpy.ones(4, "float32")}, "/out/weights.safetensors")
"""

HONEST = {
    "multiplies matrices": "a = numpy.random.default_rng(0).random((400, 400)); assert numpy.isfinite(a @ a).all()",
    "uses threads": """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(16) as pool:
    assert sum(pool.map(lambda n: n * n, range(200))) == 2646700
""",
    "uses processes": """
import multiprocessing
with multiprocessing.Pool(4) as pool:
    assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]
""",
    "shares memory between processes": """
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=4 << 20)
block.buf[:3] = b"abc"
other = shared_memory.SharedMemory(block.name)
assert bytes(other.buf[:3]) == b"abc"
other.close()
block.close()
block.unlink()
""",
    "talks over a local socket": """
import socket
one, other = socket.socketpair()
one.sendall(b"batch")
assert other.recv(5) == b"batch"
""",
    "keeps checkpoints": """
folder = pathlib.Path("/out/checkpoint")
folder.mkdir(exist_ok=True)
for step in range(50):
    (folder / "new").write_bytes(bytes(100_000))
    (folder / "new").rename(folder / "step")
""",
    "uses scratch space": """
import tempfile
with tempfile.TemporaryFile() as file:
    file.write(bytes(8 << 20))
with open("/scratch/cache", "wb") as file:
    file.write(bytes(8 << 20))
""",
    "keeps its metrics in a database": """
import sqlite3
with sqlite3.connect("/scratch/metrics.db") as database:
    database.execute("create table loss (step integer, value real)")
    database.executemany("insert into loss values (?, ?)", [(n, 1 / (n + 1)) for n in range(1000)])
""",
    "calls other programs": """
import subprocess
assert subprocess.run(["sort"], input=b"b\\na\\n", capture_output=True, check=True).stdout == b"a\\nb\\n"
""",
    "prints its progress and takes most of its memory": """
heap = bytearray(150 << 20)
for step in range(2000):
    print('{"step": %d, "loss": %.4f}' % (step, 1 / (step + 1)))
""",
}


def program(body: str) -> str:
    """A job that does `body` and leaves weights."""
    return f"import numpy, pathlib\n{body}\n{WEIGHTS}"
