"""Compiles the CUDA kernels: `python tools/cuda.py` writes kernels/devices/exact.ptx, `--check` compares it.

PTX is NVIDIA's portable assembly; the driver translates it for the GPU it finds, from the Turing generation (2018) on.
nvcc marks it with its own version, which older drivers refuse; the kernels need nothing of that, so the mark is put
back to the oldest version that knows the generation, and ptxas confirms that the text is valid there.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "kernels" / "devices"
SOURCE, PTX = FOLDER / "exact.cu", FOLDER / "exact.ptx"
GENERATION = 75
PTX_VERSION = "6.3"
FLAGS = ("-O3", "--ftz=false")


def compiled() -> str:
    """The text of exact.ptx. Raises CalledProcessError with the compiler's words."""
    done = _run("nvcc", "--ptx", f"-arch=compute_{GENERATION}", *FLAGS, "-o", "/dev/stdout", str(SOURCE))
    body = re.sub(r"^//.*\n", "", done, flags=re.MULTILINE)
    text = re.sub(r"^\.version .*$", f".version {PTX_VERSION}", body.strip(), flags=re.MULTILINE)
    return f"// {SOURCE.name}, compiled by tools/cuda.py with nvcc {release()}\n{text}\n"


def release() -> str:
    """The compiler's version: another makes other text of the same source."""
    found = re.search(r"V([\d.]+)", _run("nvcc", "--version"))
    return found[1] if found else "unknown"


def assemble(ptx: str, generation: int) -> bytes:
    """Machine code of one generation of GPUs, as the driver would make it. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        text, code = Path(folder) / "exact.ptx", Path(folder) / "exact.cubin"
        text.write_text(ptx)
        _run("ptxas", f"-arch=sm_{generation}", "-o", str(code), str(text))
        return code.read_bytes()


def installed() -> bool:
    return all(_tool(name) for name in ("nvcc", "ptxas"))


def _tool(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/local/cuda/bin")


def _run(name: str, *arguments: str) -> str:
    return subprocess.run([_tool(name) or name, *arguments], check=True, capture_output=True, text=True).stdout


def main(arguments: list[str]) -> int:
    text = compiled()
    assemble(text, GENERATION)
    if "--check" in arguments:
        return 0 if PTX.read_text() == text else 1
    PTX.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
