"""Images that bring settings of their own. Threat rows 85 and 86."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heldout.market.sandbox import ImageRefused
from heldout.market.sandbox.archive import check_archive
from tests.sandbox_jobs import Bench

pytestmark = [pytest.mark.attack, pytest.mark.docker]
Build = Callable[[str], str]


@pytest.fixture
def hostile(job_image: str) -> Iterator[Build]:
    """Builds an image on top of the job image from some Dockerfile lines; gives its id."""
    made: list[str] = []

    def build(lines: str) -> str:
        done = subprocess.run(
            ["docker", "build", "--quiet", "--network", "none", "-"],
            input=f"FROM {job_image}\n{lines}\n".encode(),
            capture_output=True,
            check=True,
        )
        made.append(done.stdout.decode().strip().splitlines()[-1])
        return made[-1]

    yield build
    for image in made:
        subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=False)


def test_entrypoint_user_environment_and_health_check_of_an_image_count_for_nothing(
    hostile: Build, bench: Bench
) -> None:
    bench.image = hostile("""
        ENTRYPOINT ["/bin/echo", "mine"]
        CMD ["x"]
        USER 0
        ENV LD_PRELOAD=/evil.so PYTHONSTARTUP=/evil.py HOME=/root
        WORKDIR /root
        HEALTHCHECK --interval=1s CMD echo sick
        LABEL heldout.job=other heldout.deadline=9e99
    """)
    program = """
        import os
        print(os.getuid() > 60000, os.getcwd(), {"LD_PRELOAD", "PYTHONSTARTUP"} & set(os.environ), os.environ["HOME"])
    """
    report, log = asyncio.run(bench.run(bench.spec(program)))
    assert report.ok and log == ["True /scratch set() /scratch"]


def test_an_image_with_volumes_is_refused(hostile: Build, bench: Bench) -> None:
    """A VOLUME is writable room outside every quota."""
    bench.image = hostile("VOLUME /stash")
    with pytest.raises(ImageRefused, match="VOLUME"):
        asyncio.run(bench.runner.start(bench.spec("pass")))


def test_an_image_is_named_by_what_it_is_never_by_a_tag(hostile: Build, bench: Bench) -> None:
    image = hostile("LABEL honest=no")
    subprocess.run(["docker", "tag", image, "heldout-test/moved:latest"], check=True)
    try:
        for name in ("heldout-test/moved:latest", "heldout-test/moved", image.removeprefix("sha256:")[:12]):
            bench.image = name
            with pytest.raises(ImageRefused):
                asyncio.run(bench.runner.start(bench.spec("pass")))
    finally:
        subprocess.run(["docker", "rmi", "heldout-test/moved:latest"], capture_output=True, check=False)


def test_an_image_travels_as_an_archive_under_the_same_id(hostile: Build, bench: Bench, tmp_path: Path) -> None:
    """P2.3: an image without a registry is an artifact in the store."""
    image, archive = hostile("LABEL travels=yes"), tmp_path / "image.tar"

    async def life() -> None:
        await bench.runner.save_image(image, archive)
        subprocess.run(["docker", "image", "rm", image], capture_output=True, check=True)
        assert not await bench.runner.has_image(image)
        await bench.runner.load_image(archive, image)
        assert await bench.runner.has_image(image)

    asyncio.run(life())


def test_an_archive_with_tags_would_move_ours_and_is_refused(hostile: Build, bench: Bench, tmp_path: Path) -> None:
    image, archive = hostile("LABEL tagged=yes"), tmp_path / "image.tar"
    subprocess.run(["docker", "tag", image, "heldout-test/ours:1"], check=True)
    subprocess.run(["docker", "save", "-o", str(archive), "heldout-test/ours:1"], check=True)
    subprocess.run(["docker", "rmi", "heldout-test/ours:1"], capture_output=True, check=True)
    with pytest.raises(ImageRefused, match="tags"):
        asyncio.run(bench.runner.load_image(archive, image))


@pytest.mark.parametrize(
    "manifest",
    [
        b"not json",
        b"[]",
        json.dumps([{"Config": "0" * 64 + ".json"}]).encode(),
        json.dumps([{"Config": "1"}, {"Config": "2"}]).encode(),
    ],
    ids=["garbage", "empty", "another image", "two images"],
)
def test_an_archive_of_anything_else_never_reaches_the_engine(bench: Bench, tmp_path: Path, manifest: bytes) -> None:
    archive = tmp_path / "image.tar"
    with tarfile.open(archive, "w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(manifest)
        tar.addfile(info, io.BytesIO(manifest))
    with pytest.raises(ImageRefused):
        asyncio.run(bench.runner.load_image(archive, "sha256:" + "a" * 64))


def test_a_layer_that_unpacks_to_more_than_the_limit_is_refused_before_the_engine_sees_it(tmp_path: Path) -> None:
    """Threat row 86: a bomb of four kilobytes that becomes four megabytes."""
    archive, image = tmp_path / "image.tar", "sha256:" + "a" * 64
    members = {
        "manifest.json": json.dumps([{"Config": "a" * 64 + ".json", "Layers": ["layer.tar"]}]).encode(),
        "layer.tar": gzip.compress(bytes(4 << 20)),
    }
    with tarfile.open(archive, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    check_archive(archive, image, 8 << 20)
    with pytest.raises(ImageRefused, match="unpacks to more"):
        check_archive(archive, image, 2 << 20)


DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN python3 -c "print('built without network')"
{more}
"""


def heldout(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "heldout", "image", *words, "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_an_image_is_built_listed_and_verified_by_the_command_line(job_image: str, tmp_path: Path) -> None:
    """Issue 5 item 7."""
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace("{more}", "ENV NOTE=mine"))
    made = json.loads(heldout("build", str(tmp_path), "--base", job_image, "--archive", str(tmp_path / "x.tar")).stdout)
    try:
        listed = json.loads(heldout("list").stdout)
        assert [each["refused"] for each in listed if each["image"] == made["image"]] == [""]
        verified = json.loads(heldout("verify", made["image"], "--archive", str(tmp_path / "x.tar")).stdout)
        assert verified["says"].startswith("python 3.")
    finally:
        subprocess.run(["docker", "image", "rm", "--force", made["image"]], capture_output=True, check=False)


def test_an_image_that_no_provider_would_run_is_refused_when_it_is_built(job_image: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace("{more}", "VOLUME /stash"))
    done = heldout("build", str(tmp_path), "--base", job_image)
    assert done.returncode == 11 and "VOLUME" in json.loads(done.stderr.splitlines()[-1])["message"]
    assert heldout("verify", "heldout/job:latest").returncode == 11
