"""Blocking calls to the container engine, with its many exceptions turned into ours."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests.exceptions

from heldout.market.sandbox.archive import check_archive
from heldout.market.sandbox.errors import (
    AttemptLost,
    ImageRefused,
    OutputRefused,
    SandboxRefused,
    SandboxUnavailable,
    SandboxUnhealthy,
)
from heldout.market.sandbox.profile import (
    DOCKER,
    LABEL_JOB,
    LABEL_KEEPER,
    LABEL_NODE,
    LABEL_PLACE,
    LABEL_VOLUME,
    PODMAN,
    Dialect,
)
from heldout.market.sandbox.runtimes import EngineFacts, engine_facts, engine_kind

log = logging.getLogger(__name__)

MAX_IMAGE_BYTES = 8 << 30
_CALL_TIMEOUT_S = 30
_PATIENCE_S = 20
_USUAL = "unix:///var/run/docker.sock"
_IMAGE_TIMEOUT_S = 900
_CHUNK = 1 << 20


_SOCKETS = {
    "docker": ("/var/run/docker.sock", "{run}/docker.sock"),
    "podman": ("{run}/podman/podman.sock", "/run/podman/podman.sock"),
}


def address_of(kind: str) -> str:
    """Where the engine of that kind listens: for Docker what DOCKER_HOST says, else the first socket of this user or of
    the system that is there. Empty if none is: connecting will say so."""
    if kind == "docker" and os.environ.get("DOCKER_HOST"):
        return ""
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    sockets = [Path(socket.format(run=run)) for socket in _SOCKETS[kind]]
    there = [socket for socket in sockets if os.access(socket, os.W_OK)]
    return f"unix://{(there or sockets)[0]}"


@contextmanager
def engine_errors() -> Iterator[None]:
    """What the SDK raises, as one of ours. A refusal by the engine (4xx) is final, its absence is not."""
    try:
        yield
    except docker.errors.ImageNotFound as error:
        raise ImageRefused(f"no such image here: {error.explanation}", hint="load its archive first") from None
    except docker.errors.NotFound as error:
        raise AttemptLost(f"the engine has lost it: {error.explanation}", hint="start the next attempt") from None
    except docker.errors.APIError as error:
        if error.is_client_error():
            raise SandboxRefused(f"the engine refuses: {error.explanation}", hint="see command and limits") from None
        raise SandboxUnavailable(f"the engine failed: {error.explanation}", hint="see the engine's log") from None
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise SandboxUnavailable(
            f"no container engine answers: {error}",
            hint="start Docker (`docker info` must work for this user), or Podman (`podman system service`)",
        ) from None


def _locked(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class Engine:
    """The local engine, seen by one node: it touches only containers and volumes with that node's label.

    `address` is that of an engine's API, such as `unix:///run/podman/podman.sock`; empty: Docker's usual one.
    """

    def __init__(self, node: str, address: str = "") -> None:
        self.node = node
        self._address = address

    @cached_property
    def _client(self) -> Any:
        return self._connect(_CALL_TIMEOUT_S)

    @cached_property
    def _patient(self) -> Any:
        """For whole images: gigabytes pass before the engine answers."""
        return self._connect(_IMAGE_TIMEOUT_S)

    def _connect(self, timeout_s: int) -> Any:
        if self._address:
            return docker.DockerClient(base_url=self._address, timeout=timeout_s)
        return docker.from_env(timeout=timeout_s)

    def ping(self) -> None:
        with engine_errors():
            self._client.ping()

    @cached_property
    def facts(self) -> EngineFacts:
        """What this engine is and can do; asked once."""
        with engine_errors():
            version = self._client.version()
            controllers = self._controllers() if engine_kind(version) == "podman" else None
            return engine_facts(self._client.info(), version, controllers)

    def _controllers(self) -> list[str]:
        """The cgroup controllers that Podman may use, by its own API, not by Docker's."""
        answer = self._client.api.get(f"{self._client.api.base_url}/v4.0.0/libpod/info")
        answer.raise_for_status()
        return list(answer.json()["host"].get("cgroupControllers") or ())

    @contextmanager
    def choosing(self) -> Iterator[None]:
        """While it lasts no other node of this machine takes a uid, cores or devices on this engine: a lock on the
        folder of its socket. Whoever holds it for long is not waited for."""
        socket = (self._address or os.environ.get("DOCKER_HOST", "") or _USUAL).removeprefix("unix://")
        try:
            folder = os.open(Path(socket).resolve(strict=True).parent, os.O_RDONLY)
        except OSError as problem:  # an engine elsewhere, or a folder that this user may not read
            log.debug("no lock beside %s: %s", socket, problem)
            yield
            return
        try:
            give_up = time.monotonic() + _PATIENCE_S
            while not _locked(folder):
                if time.monotonic() > give_up:
                    log.warning("somebody has locked the folder of %s: not waiting any longer", socket)
                    break
                time.sleep(0.05)
            yield
        finally:
            os.close(folder)

    @property
    def dialect(self) -> Dialect:
        return PODMAN if self.facts.kind == "podman" else DOCKER

    def image(self, image: str) -> dict[str, Any]:
        """The engine's description of exactly this image, fit to be run. Raises ImageRefused."""
        if "sha256:" not in image:
            raise ImageRefused(f"{image!r} is a name that can be moved", hint="name the image by its id: sha256:…")
        with engine_errors():
            found: dict[str, Any] = self._client.images.get(image).attrs
        if image != found["Id"] and image not in (found.get("RepoDigests") or ()):
            raise ImageRefused(f"asked for {image}, the engine has {found['Id']}")
        if found["Config"].get("Volumes"):
            raise ImageRefused("the image declares VOLUME: room outside every quota", hint="build it without")
        if found["Size"] > MAX_IMAGE_BYTES:
            raise ImageRefused(f"the image has {found['Size']} bytes, this node takes {MAX_IMAGE_BYTES}")
        return found

    def images(self) -> list[dict[str, Any]]:
        """The engine's description of every image it has, intermediate ones left out."""
        with engine_errors():
            return [found.attrs for found in self._client.images.list()]

    def load(self, archive: Path, image: str) -> None:
        check_archive(archive, image, MAX_IMAGE_BYTES)
        with engine_errors(), archive.open("rb") as file:
            self._patient.images.load(file)
        self.image(image)

    def save(self, image: str, archive: Path) -> None:
        draft = archive.with_name(f"{archive.name}.part")
        with engine_errors(), draft.open("wb") as file:
            for chunk in self._patient.api.get_image(image, chunk_size=_CHUNK):
                file.write(chunk)
        draft.rename(archive)

    def containers(self, job: str = "") -> list[Any]:
        """This node's attempts in every state, of one job or of all."""
        return self._list([f"{LABEL_NODE}={self.node}", f"{LABEL_JOB}={job}" if job else LABEL_JOB], every=True)

    def neighbours(self) -> list[Any]:
        """Attempts of every node that run on this engine now."""
        return self._list([LABEL_JOB], every=False)

    def kept_uids(self) -> set[int]:
        """Owners of volumes, of every node on this engine, whether an attempt runs or not."""
        return {int(keeper.labels[LABEL_PLACE]) for keeper in self._list([LABEL_KEEPER], every=True)}

    def keeper(self, job: str) -> Any | None:
        """The container that holds a job's volume."""
        return next(iter(self._list([f"{LABEL_NODE}={self.node}", f"{LABEL_KEEPER}={job}"], every=True)), None)

    def _list(self, labels: list[str], *, every: bool) -> list[Any]:
        with engine_errors():
            found: list[Any] = self._client.containers.list(all=every, ignore_removed=True, filters={"label": labels})
        return found

    def derive(self, image: str, changes: Sequence[str]) -> str:
        """An image made from another by Dockerfile instructions that need no build; its id."""
        with engine_errors():
            if self.dialect.prunes_parents:
                self._client.images.get(image).tag("heldout/kept", image.removeprefix("sha256:")[:12])
            container = self._client.containers.create(image, command=["true"], network_mode="none")
            try:
                made: str = container.commit(changes=list(changes)).id
            finally:
                container.remove(force=True)
        return made

    def remove_image(self, image: str) -> None:
        with engine_errors():
            self._client.images.remove(image, force=True, noprune=True)

    def volume(self, job: str) -> Any | None:
        """A job's volume."""
        return next(iter(self._volumes(f"{LABEL_VOLUME}={job}")), None)

    def jobs_with_volumes(self) -> set[str]:
        return {volume.attrs["Labels"][LABEL_VOLUME] for volume in self._volumes(LABEL_VOLUME)}

    def _volumes(self, label: str) -> list[Any]:
        with engine_errors():
            found: list[Any] = self._client.volumes.list(filters={"label": [f"{LABEL_NODE}={self.node}", label]})
        return found

    def make_volume(self, options: dict[str, Any]) -> Any:
        with engine_errors():
            return self._client.volumes.create(**options)

    def remove_volume(self, volume: Any) -> None:
        with engine_errors():
            volume.remove(force=True)

    def archive(self, container: Any, path: str) -> Generator[bytes, None, None]:
        """A tar stream of a file or folder in a container, to be closed: the engine answers nothing else about that
        container while one is open and not read. Raises OutputRefused if it is not there."""
        with engine_errors():
            try:
                chunks: Generator[bytes, None, None] = container.get_archive(path)[0]
            except docker.errors.APIError as error:  # absent, or links without end
                raise OutputRefused(f"no {path} can be had: {error.explanation}", hint="see the job's log") from None
        return chunks

    def has_path(self, container: Any, path: str) -> bool:
        with engine_errors():
            try:
                stream, _ = container.get_archive(path)
                stream.close()
            except docker.errors.APIError:
                return False
        return True

    def lay(self, container: Any, path: str, tar: Iterator[bytes]) -> None:
        """Unpack a tar into a folder of a container."""
        with engine_errors():
            container.put_archive(path, tar)

    def find(self, ref: str) -> Any:
        """The container, freshly looked at. Raises AttemptLost."""
        with engine_errors():
            return self._client.containers.get(ref)

    def run(self, options: dict[str, Any]) -> Any:
        """Create and start; what cannot be started is removed again."""
        with engine_errors():
            container = self._client.containers.create(**options)
            try:
                container.start()
            except docker.errors.APIError:
                container.remove(force=True)
                raise
            container.reload()
        return container

    def pause(self, container: Any) -> None:
        """The kernel's freezer: nothing in it runs until `unpause`. Raises SandboxRefused where there is no freezer."""
        with engine_errors():
            container.pause()

    def unpause(self, container: Any) -> None:
        with engine_errors():
            container.unpause()

    def stats(self, container: Any) -> dict[str, Any]:
        with engine_errors():
            found: dict[str, Any] = container.stats(stream=False, one_shot=True)
        return found

    def log(self, container: Any, *, follow: bool = True) -> Any:
        """Chunks of stdout and stderr, to the container's end or to what there is now; `close()` ends it sooner."""
        with engine_errors():
            return container.logs(stream=True, follow=follow)

    def stop(self, ref: str, grace_s: float) -> None:
        """Raises SandboxUnhealthy if the container still runs after TERM, KILL and a bounded wait."""
        container = self.find(ref)
        if container.status not in ("running", "paused", "restarting"):
            return
        unhealthy = SandboxUnhealthy(f"{container.name} cannot be killed", hint="look at the engine; bid for nothing")
        with engine_errors():
            try:
                if container.status == "paused":
                    container.unpause()
                container.stop(timeout=round(grace_s))
                container.reload()
            except requests.exceptions.ReadTimeout:
                raise unhealthy from None
        if container.status == "running":
            raise unhealthy

    def remove(self, container: Any) -> None:
        with engine_errors():
            try:
                container.remove(force=True, v=True)
            except docker.errors.NotFound:
                return
