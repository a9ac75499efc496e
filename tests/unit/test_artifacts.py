"""Stores of artifacts (P8): one conformance suite for every backend, then what is special about each."""

import resource
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from heldout.market.artifacts import ArtifactId, ArtifactStore, DiskStore, Stores, artifact_id, parse_id
from heldout.market.artifacts.blob import CHUNK
from heldout.market.artifacts.cli import parse_bytes
from heldout.market.artifacts.s3 import S3Store
from heldout.market.artifacts.writing import BATCH, FLUSH
from heldout.market.errors import AlreadyRunning, BadInput, HashMismatch, StoreProblem

DATA = bytes(range(256)) * (CHUNK // 128)
ID = artifact_id(sha256(DATA).digest())
ABSENT = ArtifactId("0" * 64)


def bucket(folder: Path) -> S3Store:
    return S3Store(MemoryStore(), "a bucket", folder)


BACKENDS: dict[str, Callable[[Path], ArtifactStore]] = {
    "disk": lambda folder: DiskStore(folder / "store"),
    "s3": bucket,
    "several": lambda folder: Stores([DiskStore(folder / "one"), bucket(folder)]),
}


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return BACKENDS[request.param](tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DiskStore]:
    with DiskStore(tmp_path / "store", quota=3 * len(DATA), max_blob=2 * len(DATA)) as store:
        yield store


def file_of(disk: DiskStore, artifact: ArtifactId) -> Path:
    return Path(disk.name) / artifact[:2] / artifact


# ------------------------------------------------------------------------------------------------ every backend


@pytest.mark.parametrize("data", [DATA, b"x", b""], ids=["large", "one byte", "empty"])
def test_what_was_put_is_there_under_its_hash(store: ArtifactStore, data: bytes, tmp_path: Path) -> None:
    artifact = store.put(data)
    assert artifact == sha256(data).hexdigest()
    assert store.get(artifact) == data
    assert store.size(artifact) == len(data)
    store.fetch(artifact, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


def test_a_file_is_put_without_reading_it_whole(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    assert store.put(tmp_path / "file") == ID
    assert store.get(ID) == DATA
    assert (tmp_path / "file").exists()


def test_putting_twice_is_putting_once(store: ArtifactStore) -> None:
    assert store.put(DATA) == store.put(DATA)


@pytest.mark.parametrize(("start", "end"), [(0, 5), (7, 7), (CHUNK - 3, CHUNK + 3), (len(DATA) - 2, None)])
def test_a_range_is_that_part_of_the_bytes(store: ArtifactStore, start: int, end: int | None) -> None:
    store.put(DATA)
    assert b"".join(store.open(ID, start, end)) == DATA[start:end]


def test_an_absent_artifact_may_yet_arrive(store: ArtifactStore) -> None:
    assert not store.has(ABSENT)
    with pytest.raises(StoreProblem) as problem:
        store.get(ABSENT)
    assert (problem.value.code, problem.value.retryable) == ("artifact_missing", True)


def test_more_bytes_than_the_reader_allows_are_not_read(store: ArtifactStore) -> None:
    store.put(DATA)
    with pytest.raises(StoreProblem) as problem:
        store.get(ID, limit=len(DATA) - 1)
    assert problem.value.code == "artifact_too_large"


def test_a_fetch_that_fails_leaves_no_file(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(StoreProblem):
        store.fetch(ABSENT, tmp_path / "into" / "copy")
    assert list((tmp_path / "into").iterdir()) == []


# ------------------------------------------------------------------------------------------------------- on disk


def test_bytes_that_rotted_are_refused_and_can_be_put_again(disk: DiskStore) -> None:
    """Threat 50."""
    disk.put(DATA)
    file_of(disk, ID).write_bytes(b"!" + DATA[1:])
    with pytest.raises(HashMismatch):
        disk.get(ID)
    assert not disk.has(ID)
    disk.put(DATA)
    assert disk.get(ID) == DATA
    assert disk.used == len(DATA)


def test_an_artifact_above_the_limit_leaves_nothing(disk: DiskStore) -> None:
    """Threat 80."""
    with pytest.raises(StoreProblem) as problem:
        disk.put(DATA * 2 + b"x")
    assert problem.value.code == "artifact_too_large"
    assert disk.used == 0
    assert list((Path(disk.name) / "incoming").iterdir()) == []


def test_the_quota_counts_what_is_kept_and_what_arrives(disk: DiskStore) -> None:
    """Threat 80."""
    disk.put(DATA)
    with disk.receive() as arriving:
        arriving.write(DATA)
        with pytest.raises(StoreProblem) as problem:
            disk.put(b"y" + DATA)
    assert problem.value.code == "store_full"
    disk.put(b"y" + DATA)
    assert disk.used == 2 * len(DATA) + 1
    with pytest.raises(StoreProblem) as problem:
        disk.receive(announced=len(DATA))
    assert problem.value.code == "store_full"


def test_an_upload_under_another_hash_is_refused(disk: DiskStore) -> None:
    with disk.receive() as arriving, pytest.raises(HashMismatch):
        arriving.write(DATA)
        arriving.finish(ABSENT)
    assert disk.used == 0


def test_pieces_of_any_size_become_one_file_in_their_order(tmp_path: Path) -> None:
    """Written batch by batch behind whoever adds them, and synced on the way."""
    pieces = [bytes([number % 251]) * (1 + number * 7_919 % (2 * BATCH)) for number in range(FLUSH // BATCH + 8)]
    with DiskStore(tmp_path / "store") as disk:
        with disk.receive() as arriving:
            for piece in pieces:
                arriving.write(piece)
            artifact = arriving.finish(artifact_id(sha256(b"".join(pieces)).digest()))
        disk.fetch(artifact, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"".join(pieces)


@pytest.mark.parametrize("batches", [1, 4], ids=["at the end", "on the way"])
def test_a_disk_that_fills_up_behind_an_upload_is_said_and_nothing_stays(tmp_path: Path, batches: int) -> None:
    """Threat 80: a limit on file size stands for the full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with DiskStore(tmp_path / "store") as disk:
        resource.setrlimit(resource.RLIMIT_FSIZE, (BATCH // 2, before[1]))
        try:
            with pytest.raises(StoreProblem) as problem:
                disk.put(bytes(batches * BATCH))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert problem.value.code == "store_full"
        assert (disk.used, list((tmp_path / "store" / "incoming").iterdir())) == (0, [])


def test_a_store_that_opens_again_has_its_artifacts_and_sweeps_what_never_arrived(disk: DiskStore) -> None:
    disk.put(DATA)
    disk.close()
    folder = Path(disk.name)
    (folder / "incoming" / "dead.part").write_bytes(b"half")
    with DiskStore(folder) as again:
        assert again.get(ID) == DATA
        assert again.used == len(DATA)
        assert list((folder / "incoming").iterdir()) == []


def test_a_folder_has_one_process(disk: DiskStore) -> None:
    """Threat 44."""
    with pytest.raises(AlreadyRunning):
        DiskStore(Path(disk.name))


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "A" * 64, "../" + "0" * 61, "0" * 63 + "\n", "٠" * 64])
def test_only_64_lower_case_hex_digits_are_an_id(text: str, disk: DiskStore) -> None:
    """Threat 81."""
    with pytest.raises(BadInput):
        parse_id(text)
    with pytest.raises(BadInput):
        disk.size(ArtifactId(text))


# ------------------------------------------------------------------------------------------------------- several


class Broken(DiskStore):
    """Answers nothing, or other bytes."""

    def __init__(self, folder: Path, lie: bytes | None = None) -> None:
        super().__init__(folder)
        self._lie = lie

    def put(self, source: object) -> ArtifactId:
        raise StoreProblem("down")

    def size(self, artifact: ArtifactId) -> int | None:
        if self._lie is None:
            raise StoreProblem("down")
        return len(self._lie)

    def open(self, artifact: ArtifactId, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        if self._lie is None:
            raise StoreProblem("down")
        return iter([self._lie])


@pytest.mark.parametrize("lie", [None, b"other bytes"], ids=["down", "lying"])
def test_one_good_store_is_enough(tmp_path: Path, lie: bytes | None) -> None:
    """Threats 50 and 51."""
    several = Stores([Broken(tmp_path / "bad", lie), DiskStore(tmp_path / "good")])
    assert several.put(DATA) == ID
    assert several.get(ID) == DATA
    assert several.has(ID)


def test_no_good_store_says_why(tmp_path: Path) -> None:
    several = Stores([DiskStore(tmp_path / "empty"), Broken(tmp_path / "bad", b"other bytes")])
    with pytest.raises(HashMismatch):
        several.get(ID)
    with pytest.raises(StoreProblem, match="down"):
        Stores([Broken(tmp_path / "down")]).put(DATA)
    with pytest.raises(StoreProblem, match="down"):
        Stores([Broken(tmp_path / "down too"), DiskStore(tmp_path / "empty too")]).has(ID)


@pytest.mark.parametrize("url", ["file:///etc", "ftp://x", "http://", "http://user@host", "http://host/?q=1"])
def test_a_store_is_an_http_or_s3_address(url: str) -> None:
    """Threat 71."""
    with pytest.raises(BadInput):
        Stores.of([url])


@pytest.mark.parametrize(("text", "size"), [("7", 7), ("2 GiB", 2 << 30), ("512MiB", 512 << 20), ("1k", 1024)])
def test_sizes_are_written_as_people_write_them(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1.5 GiB", "1 PiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_bytes(text)
