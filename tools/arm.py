"""An ARM machine to test on: Debian's Python and this project's NumPy and onnx for arm64, run by QEMU in user mode.

    python tools/arm.py                 makes it in .cache/arm64, unless it is there
    python tools/arm.py -m MODULE ...   runs its Python, with this checkout on its path

Debian packages come from this machine's own mirror, into folders of their own: nothing is installed.
"""

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".cache" / "arm64"
EMULATOR = "qemu-aarch64-static"
DEBIAN = ("python3", "libstdc++6")
WHEELS = ("ml_dtypes", "numpy", "onnx", "protobuf", "safetensors", "typing_extensions")
_PLATFORMS = [f"manylinux{version}_aarch64" for version in ("_2_28", "_2_27", "_2_26", "_2_17", "2014")]


def command(*arguments: str, cpu: str = "max") -> list[str]:
    """The command line that runs ARM's Python; `cpu` is a model that QEMU knows, such as cortex-a57."""
    return [EMULATOR, "-cpu", cpu, "-L", str(HOME / "tree"), str(HOME / "tree/usr/bin/python3"), *arguments]


def environment(**more: str) -> dict[str, str]:
    """With the project and its packages on the path."""
    return {"PYTHONPATH": f"{HOME / 'site'}:{ROOT / 'src'}:{ROOT / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1", **more}


def installed() -> bool:
    return shutil.which(EMULATOR) is not None and _stamp().exists()


def make() -> None:
    """Raises CalledProcessError if Debian or PyPI has not what is needed."""
    if _stamp().exists():
        return
    shutil.rmtree(HOME, ignore_errors=True)
    _debian()
    _wheels()
    _stamp().touch()


def _stamp() -> Path:
    inputs = json.dumps([DEBIAN, _pins()])
    return HOME / f"made-{sha256(inputs.encode()).hexdigest()[:16]}"


def _pins() -> list[str]:
    """The versions of requirements.lock."""
    lines = [line.removesuffix(" \\") for line in (ROOT / "requirements.lock").read_text().splitlines()]
    return [line for line in lines if line.partition("==")[0].replace("-", "_").lower() in WHEELS]


def _debian() -> None:
    apt = HOME / "apt"
    (apt / "lists" / "partial").mkdir(parents=True)
    (apt / "archives" / "partial").mkdir(parents=True)
    (apt / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "Dir::State": apt,
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache::archives": apt / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    _run("apt-get", "-qq", *options, "update")
    _run("apt-get", "-qq", "-y", *options, "--download-only", "--no-install-recommends", "install", *DEBIAN)
    for package in sorted((apt / "archives").glob("*.deb")):
        _run("dpkg", "-x", str(package), str(HOME / "tree"))
    shutil.rmtree(apt)


def _wheels() -> None:
    told = subprocess.run(command("-V"), capture_output=True, text=True, check=True).stdout
    version = ".".join(told.split()[1].split(".")[:2])
    tags = [word for name in _PLATFORMS for word in ("--platform", name)]
    abi = ["--python-version", version, "--implementation", "cp", "--abi", f"cp{version.replace('.', '')}"]
    abi += ["--abi", "abi3", "--abi", "none", "--only-binary=:all:", "--no-deps"]
    pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    _run(*pip, "--target", str(HOME / "site"), *tags, *abi, *_pins())


def _run(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    make()
    if sys.argv[1:]:
        sys.exit(subprocess.run(command(*sys.argv[1:]), env={**os.environ, **environment()}).returncode)
