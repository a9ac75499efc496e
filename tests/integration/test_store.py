"""`heldout store serve` as a process, and its client over loopback: P8, and the faults a store must outlive."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from threading import Thread

import pytest
from eth_account import Account

from heldout.devnet.anvil import free_port
from heldout.market.artifacts import ArtifactId, HttpStore, Stores
from heldout.market.artifacts.listening import listen
from heldout.market.errors import HashMismatch, HeldoutError, Refused, StoreProblem
from tests.servers import StorePlace, served, wait_until

pytestmark = pytest.mark.integration

ACCOUNT = Account.from_key("0x" + "01" * 32)
DATA = bytes(range(256)) * 8192  # 2 MiB
ID = ArtifactId(sha256(DATA).hexdigest())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorePlace]:
    place = StorePlace(tmp_path_factory.mktemp("store"))
    with served(place.words, place.url, place.log):
        yield place


@pytest.fixture
def store(place: StorePlace) -> Iterator[HttpStore]:
    store = HttpStore(place.url, ACCOUNT)
    yield store
    store.close()


def test_no_answer_waits_for_its_head_to_be_acknowledged() -> None:
    """Nagle's algorithm beside delayed acknowledgements costs 40 ms; asyncio leaves sockets that it is given alone."""
    with listen("127.0.0.1:0") as bound, socket.create_connection(bound.getsockname()):
        connection, _ = bound.accept()
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.close()


def test_bytes_and_files_go_up_and_come_back(store: HttpStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    assert store.put(tmp_path / "file") == ID
    assert store.put(DATA) == ID
    assert store.get(ID) == DATA
    assert b"".join(store.open(ID, 100, 300)) == DATA[100:300]
    store.fetch(ID, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == DATA
    assert store.size(ID) == len(DATA)
    assert store.put(b"") == sha256(b"").hexdigest()
    assert store.get(ArtifactId(sha256(b"").hexdigest())) == b""


def test_without_a_key_a_store_can_only_be_read(place: StorePlace, store: HttpStore) -> None:
    store.put(DATA)
    reader = HttpStore(place.url)
    assert reader.get(ID) == DATA
    with pytest.raises(Refused):
        reader.put(b"something else")


def test_refusals_reach_the_client_with_their_codes(store: HttpStore) -> None:
    with pytest.raises(StoreProblem) as problem:
        store.get(ArtifactId("0" * 64))
    assert problem.value.code == "artifact_missing"
    with pytest.raises(StoreProblem) as problem:
        store.put(b"x" * (5 << 20))
    assert problem.value.code == "artifact_too_large"


def test_a_store_known_by_another_name_says_which_name_it_signs_for(place: StorePlace) -> None:
    with pytest.raises(Refused, match=place.url):
        HttpStore(f"http://localhost:{place.port}", ACCOUNT).put(b"any bytes")


def test_bytes_rotten_on_the_stores_disk_never_reach_a_reader(place: StorePlace, store: HttpStore) -> None:
    """Threat 50: and the next upload heals the store."""
    blob = b"soon to rot" * 100_000
    name = store.put(blob)
    kept = place.folder / "store" / name[:2] / name
    kept.write_bytes(b"?" + blob[1:])
    with pytest.raises(StoreProblem):
        store.get(name)
    store.put(blob)
    assert store.get(name) == blob


def test_a_killed_store_keeps_what_it_said_it_has_and_sweeps_the_rest(tmp_path: Path) -> None:
    """Threats 48 and 51."""
    place = StorePlace(tmp_path)
    with served(place.words, place.url, place.log) as process:
        HttpStore(place.url, ACCOUNT).put(DATA)
        other = b"half of this arrives" * 10_000
        line = place.begin_upload(ACCOUNT, other)
        line.sendall(other[: len(other) // 2])
        wait_until(lambda: bool(place.arriving()))
        process.kill()
        process.wait()
        line.close()
    assert len(place.arriving()) == 1
    with served(place.words, place.url, place.log):
        again = HttpStore(place.url, ACCOUNT)
        assert again.get(ID) == DATA
        assert not again.has(ArtifactId(sha256(other).hexdigest()))
        assert place.arriving() == []


def test_a_store_that_is_down_is_a_problem_that_may_pass(tmp_path: Path, store: HttpStore) -> None:
    """Threat 51."""
    down = HttpStore(f"http://127.0.0.1:{free_port()}", ACCOUNT)
    with pytest.raises(StoreProblem) as problem:
        down.get(ID)
    assert problem.value.retryable
    both = Stores([down, store])
    assert both.put(DATA) == ID
    assert both.get(ID) == DATA


def test_a_second_store_on_one_folder_is_refused(place: StorePlace) -> None:
    """Threat 44."""
    words = [*place.words[:5], "127.0.0.1:0", "--json"]
    done = subprocess.run([sys.executable, "-m", "heldout", *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 10
    assert '"already_running"' in done.stderr


# ----------------------------------------------------------------------------------------------- servers that lie


class Liar:
    """Accepts one connection and answers with these bytes, whatever is asked."""

    def __init__(self, answer: bytes) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._answer = answer
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        line, _ = self._socket.accept()
        line.recv(65536)
        line.sendall(self._answer)
        line.close()
        self._socket.close()


def answered(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", *headers] if headers else ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.attack
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (answered(b"other bytes"), HashMismatch),
        (answered(b"x", "Transfer-Encoding: chunked"), StoreProblem),
        (answered(b"endless", "Connection: close"), StoreProblem),
        (answered(b"short", "Content-Length: 1000"), StoreProblem),
        (answered(b"", "Content-Length: many"), StoreProblem),
        (answered(b"\x1f\x8b\x08", "Content-Length: 3", "Content-Encoding: gzip"), HashMismatch),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", StoreProblem),
        (b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n[1, 2, 3]", StoreProblem),
        (b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n{}", StoreProblem),
        (b"not http at all\r\n\r\n", StoreProblem),
        (b"", StoreProblem),
    ],
    ids=[
        "other bytes",
        "chunked",
        "no length",
        "short",
        "bad length",
        "gzip",
        "redirect",
        "500",
        "refused",
        "noise",
        "silence",
    ],
)
def test_a_store_that_lies_gives_nobody_its_bytes(answer: bytes, kind: type[HeldoutError]) -> None:
    """Threats 50 and 71: no redirect is followed, no unbounded body is read, no other bytes are believed."""
    with pytest.raises(kind):
        HttpStore(Liar(answer).url).get(ID)


@pytest.mark.attack
def test_a_store_cannot_send_more_than_was_asked_for() -> None:
    """Threat 80, at the client."""
    with pytest.raises(StoreProblem) as problem:
        HttpStore(Liar(answered(b"x" * 5_000)).url).get(ID, limit=1_000)
    assert problem.value.code == "artifact_too_large"
