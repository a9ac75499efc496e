"""Make one of the shipped job images, or find it made: `heldout image build --shipped python|torch-cpu|torch-cuda`.

    flavour   what is installed besides requirements.txt; torch's wheels for CPU and for CUDA have one name and come
              from two indexes: the local part of the version tells them apart, and the image is asked what it got
    base      the image named by --base or $HELDOUT_JOB_BASE; else python:3.11-slim-bookworm if a registry answers;
              else debootstrap from this machine's own suite and mirror
    wheels    fetched by pip before the build, for the base's Python and architecture; one other than this machine's
              needs an emulator that the kernel knows (Debian: qemu-user-static)
    image     docker build --network none

Every image is labelled with a hash of what went into it, so a second call only looks it up. The id of the image, by
architecture, is printed and written to .cache/job-image.json: {"amd64": "sha256:…"}.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from heldout.market.sandbox.errors import ImageRefused, SandboxUnavailable
from heldout.market.sandbox.image.apt import AptSource, own_source

HERE = Path(__file__).resolve().parent
PUBLISHED_BASE = "python:3.11-slim-bookworm"
LABEL = "heldout.image.inputs"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
BASE_RECIPE = "2"
"""Another one for every change of how a base is made, so that one of before is not taken for it."""
PULL_TIMEOUT_S = 300
TORCH: Final = "2.13.0"
TORCH_CPU_ARM: Final = "2.10.0"
"""The last whose wheel for ARM in pip's own index is for the CPU; from 2.11 on it is for CUDA."""
FLAVOURS: Final = {
    "python": (),
    "torch-cpu": (
        f'torch=={TORCH}+cpu; platform_machine != "aarch64"',
        f'torch=={TORCH_CPU_ARM}; platform_machine == "aarch64"',
    ),
    "torch-cuda": (f"torch=={TORCH},!={TORCH}+cpu",),
}
"""What ships, for x64 and ARM: on a machine of its kind, or from a base of the other kind under emulation."""
MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
"""Wheels' names of the architectures."""
MANYLINUX: Final = ("_2_34", "_2_31", "_2_28", "_2_27", "_2_26", "_2_24", "_2_17", "2014")
"""What wheels for another architecture may ask of its libc: Debian 12 has 2.36."""
_PIP_ELSEWHERE = """
import platform, runpy, sys
machine = sys.argv.pop(1)
platform.machine = lambda: machine
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""pip whose `--platform` picks wheels, but takes their conditions on `platform_machine` as being about this one."""
_HAS_CUDA = "import torch; print(torch.version.cuda or '')"


def build(
    extra: Sequence[str] = (), base: str = "", output: Path | None = None, *, flavour: str = "python", index: str = ""
) -> dict[str, str]:
    """A shipped image with `extra` packages besides its own; pip asks `index` besides its own index.

    Returns {architecture: image id}. Raises SandboxUnavailable if no engine answers or no base can be had, ImageRefused
    if what the index gave is not of that flavour.
    """
    _require_engine()
    wanted = (*FLAVOURS[flavour], *extra)
    requirements = (HERE / "requirements.txt").read_text() + "".join(f"{name}\n" for name in wanted)
    inputs = _digest((HERE / "Dockerfile").read_text(), requirements, base, _own_base(), *([flavour] if index else []))
    image = _find(inputs)
    if not image:
        image = _build(base or _base(), requirements, inputs, index)
    _check_flavour(image, flavour)
    images = {_docker("image", "inspect", "--format", "{{.Architecture}}", image): image}
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(images, indent=1) + "\n")
    return images


def build_folder(folder: Path, base: str = "") -> str:
    """The image that a folder's Dockerfile makes without network access; its id.

    `ARG BASE_IMAGE` in it is `base`, or this machine's own base where no registry answers. Raises SandboxUnavailable,
    ImageRefused if there is no Dockerfile.
    """
    _require_engine()
    dockerfile = folder / "Dockerfile"
    if not dockerfile.is_file():
        raise ImageRefused(f"there is no {dockerfile}", hint="see docs/sandbox.md for one to start from")
    wants_base = "ARG BASE_IMAGE" in dockerfile.read_text()
    argument = ["--build-arg", f"BASE_IMAGE={base or _base()}"] if wants_base else []
    return _docker("build", "--quiet", "--network", "none", *argument, str(folder)).splitlines()[-1]


def _check_flavour(image: str, flavour: str) -> None:
    if not flavour.startswith("torch"):
        return
    cuda = _docker("run", "--rm", "--network", "none", image, "python3", "-c", _HAS_CUDA)
    if bool(cuda) is not (flavour == "torch-cuda"):
        got = f"torch for CUDA {cuda}" if cuda else "torch for the CPU"
        raise ImageRefused(f"the index gave {got}", hint="name the index of the other wheels with --index")


def _build(base: str, requirements: str, inputs: str, index: str) -> str:
    version = _version(base)  # which pulls a base that is not here yet
    architecture = _docker("image", "inspect", "--format", "{{.Architecture}}", base)
    with tempfile.TemporaryDirectory(prefix="heldout-image-") as folder:
        context = Path(folder)
        shutil.copy(HERE / "Dockerfile", context)
        (context / "requirements.txt").write_text(requirements)
        _say(f"fetching wheels for Python {version}")
        _fetch(context, version, architecture, index)
        _say("building the job image, without network")
        _docker(
            *("build", "--quiet", "--network", "none", "--platform", f"linux/{architecture}"),
            *("--build-arg", f"BASE_IMAGE={base}"),
            *("--label", f"{LABEL}={inputs}", "--tag", f"heldout/job:{inputs[:12]}", str(context)),
        )
    return _find(inputs)


def _version(base: str) -> str:
    """Of its Python, such as 3.11."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return _docker("run", "--rm", "--network", "none", base, "python3", "-c", program)
    except SandboxUnavailable as problem:
        hint = "it must have python3; one of another architecture needs an emulator: qemu-user-static"
        raise SandboxUnavailable(f"{base} does not run here: {problem.message}", hint=hint) from None


def _fetch(context: Path, version: str, architecture: str, index: str) -> None:
    """Wheels for that version of Python, by pip as this machine has it set up; nothing of that set-up goes along."""
    machine = MACHINES.get(architecture, architecture)
    foreign = MANYLINUX if machine != platform.machine() else ()
    pip = ("-c", _PIP_ELSEWHERE, machine) if foreign else ("-m", "pip")
    try:
        _run(
            *(sys.executable, *pip, "download", "--quiet", "--disable-pip-version-check"),
            *("--only-binary=:all:", "--python-version", version, "--dest", str(context / "wheels")),
            *("--requirement", str(context / "requirements.txt")),
            *(f"--platform=manylinux{libc}_{machine}" for libc in foreign),
            *(("--extra-index-url", index) if index else ()),
        )
    except SandboxUnavailable as problem:
        hint = "see pip's words above; wheels that are not in pip's own index: name theirs with --index"
        raise SandboxUnavailable(problem.message, hint=hint) from None


def _base() -> str:
    """A base image: pulled if a registry answers, made by debootstrap if not."""
    if named := os.environ.get("HELDOUT_JOB_BASE"):
        return named
    source = own_source()
    made = _find(_own_base()) if source else ""
    if made:
        return made
    _say(f"asking the registry for {PUBLISHED_BASE}")
    if _answers("docker", "pull", "--quiet", PUBLISHED_BASE, timeout=PULL_TIMEOUT_S):
        return PUBLISHED_BASE
    if source is None or not shutil.which("debootstrap"):
        raise SandboxUnavailable(
            "no base for the job image: no registry answers, and there is no debootstrap",
            hint="name an image that has python3 and venv in HELDOUT_JOB_BASE",
        )
    return _debootstrap(source)


def _debootstrap(source: AptSource) -> str:
    _say(f"no registry; making a {source.suite} base from this machine's own mirror (about a minute, 280 MB)")
    inputs = _own_base()
    root = [] if os.geteuid() == 0 else ["sudo"]
    keyring = [f"--keyring={source.keyring}"] if source.keyring.startswith("/") else []
    components = ",".join(part for part in source.components if part in ("main", "universe"))
    folder = Path(tempfile.mkdtemp(prefix="heldout-base-", dir="/var/tmp"))  # /tmp may be a nodev tmpfs
    try:
        _run(
            *(*root, "debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", f"--components={components}"),
            *(*keyring, source.suite, str(folder), source.uri),
        )
        # What mkdtemp made is closed to others. Docker opens an image's root all the same, a rootless Podman does not.
        _run(*root, "chmod", "755", str(folder))
        change = ["--change", f"LABEL {LABEL}={inputs}"]
        with subprocess.Popen(
            [*root, "tar", "-C", str(folder), "--exclude=./etc/apt/sources.list*", "-c", "."], stdout=subprocess.PIPE
        ) as tar:
            _run("docker", "import", *change, "-", f"heldout/base:{source.suite}", stdin=tar.stdout)
        if tar.returncode:
            raise SandboxUnavailable("tar could not read the new base", hint="see its message above")
    finally:
        subprocess.run([*root, "rm", "-rf", "--one-file-system", str(folder)], check=False)
    return _find(inputs)


def _find(inputs: str) -> str:
    """The id of our image with that label, or nothing. What is built on top inherits the label, but not the name."""
    ours = ("--filter", f"label={LABEL}={inputs}", "--filter", "reference=heldout/*")
    found = _docker("image", "ls", "--quiet", "--no-trunc", *ours).split()
    return found[0] if found else ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _own_base() -> str:
    """The label of the base that debootstrap makes here; nothing where apt names no mirror."""
    source = own_source()
    return _digest("base", BASE_RECIPE, source.suite, BASE_PACKAGES) if source else ""


def _require_engine() -> None:
    if not _answers("docker", "version", timeout=30):
        raise SandboxUnavailable(
            "no container engine answers", hint="install docker.io and start it, or type ./run demo"
        )


def _answers(*command: str, timeout: float) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=timeout, check=False).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def _docker(*arguments: str) -> str:
    return _run("docker", *arguments)


def _run(*command: str, stdin: IO[bytes] | None = None) -> str:
    """The command's output, stripped. Its words are shown when it fails."""
    done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:] + done.stderr[-4000:])
        raise SandboxUnavailable(f"{command[0]} failed with {done.returncode}", hint="its last words are above")
    return done.stdout.strip()


def _say(line: str) -> None:
    print(f"image: {line}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m heldout.market.sandbox.image.build", description=__doc__)
    parser.add_argument("--with", dest="extra", action="append", default=[], metavar="PACKAGE", help="such as torch")
    parser.add_argument("--base", default="", help="an image that has python3 and venv")
    parser.add_argument("--output", type=Path, default=Path(".cache/job-image.json"))
    options = parser.parse_args(arguments)
    try:
        images = build(options.extra, options.base, options.output)
    except SandboxUnavailable as error:
        print(f"image: {error.message}\n  hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    for architecture, image in images.items():
        print(f"{architecture} {image}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
