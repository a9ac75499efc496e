"""The store's server, over ASGI: permits, limits, ranges, and errors that are always problem+json (P8)."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from eth_account import Account
from starlette.testclient import TestClient

from heldout.market.artifacts import ArtifactId, DiskStore
from heldout.market.artifacts.allowance import DAY, Allowance
from heldout.market.artifacts.keeping import Keeping
from heldout.market.artifacts.permit import HEADER, LIFETIME, list_text, write_permit
from heldout.market.artifacts.server import StoreSettings, create_app
from heldout.market.errors import Refused
from heldout.market.signatures import sign_text
from heldout.market.terms import Address

URL = "http://127.0.0.1:8460"
NOW = 1_800_000_000
DATA = b"artifact " * 100
ID = ArtifactId(sha256(DATA).hexdigest())
UPLOADER = Account.from_key("0x" + "01" * 32)
MAX_BLOB = 2_000
DAILY = 3_000


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = StoreSettings(URL, {"127.0.0.1:8460"}, 1000, lambda: NOW, lambda: 0.0)
    with DiskStore(tmp_path, quota=4_000, max_blob=MAX_BLOB) as store:
        allowance = Allowance(tmp_path / "uploads.db", DAILY, lambda: NOW)
        keeping = Keeping(tmp_path / "pins.db", 1 << 30, 100, lambda: NOW)
        with TestClient(create_app(store, allowance, keeping, settings), base_url=URL) as client:
            yield client
        allowance.close()
        keeping.close()


def permit(data: bytes = DATA, **changes: object) -> dict[str, str]:
    words = {
        "store": URL,
        "artifact": ArtifactId(sha256(data).hexdigest()),
        "size": len(data),
        "expires": NOW + 60,
        **changes,
    }
    return {HEADER: write_permit(UPLOADER, **words)}  # type: ignore[arg-type]


def code(answer: object) -> tuple[int, str]:
    """Status and code, of what must be problem+json."""
    assert answer.headers["content-type"] == "application/problem+json"  # type: ignore[attr-defined]
    said = answer.json()  # type: ignore[attr-defined]
    assert said["status"] == answer.status_code  # type: ignore[attr-defined]
    return said["status"], said["code"]


def test_an_upload_is_kept_once_and_read_back(client: TestClient) -> None:
    assert client.put(f"/v1/blobs/{ID}", content=DATA, headers=permit()).status_code == 201
    assert client.put(f"/v1/blobs/{ID}", content=DATA, headers=permit()).status_code == 200
    answer = client.get(f"/v1/blobs/{ID}")
    assert answer.content == DATA
    assert answer.headers["etag"] == f'"{ID}"'
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    head = client.head(f"/v1/blobs/{ID}")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(DATA)), b"")


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [("bytes=0-4", 0, 5), ("bytes=10-", 10, 900), ("bytes=-5", 895, 900), ("bytes=890-5000", 890, 900)],
)
def test_one_range_is_served(client: TestClient, header: str, start: int, end: int) -> None:
    """RFC 9110, 14.1.2."""
    client.put(f"/v1/blobs/{ID}", content=DATA, headers=permit())
    answer = client.get(f"/v1/blobs/{ID}", headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, DATA[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/900"


@pytest.mark.parametrize("header", ["bytes=900-", "bytes=5-4", "bytes=-0", "bytes=-", "bytes=0-1,3-4", "rows=0-1"])
def test_any_other_range_is_unsatisfiable(client: TestClient, header: str) -> None:
    client.put(f"/v1/blobs/{ID}", content=DATA, headers=permit())
    assert code(client.get(f"/v1/blobs/{ID}", headers={"Range": header})) == (416, "unsatisfiable_range")


@pytest.mark.parametrize(
    "changes",
    [
        {"store": "http://127.0.0.1:9999"},
        {"artifact": ArtifactId("0" * 64)},
        {"size": len(DATA) - 1},
        {"expires": NOW},
        {"expires": NOW + LIFETIME + 1},
    ],
    ids=["other store", "other bytes", "other size", "expired", "good for too long"],
)
def test_a_permit_is_for_one_upload(client: TestClient, changes: dict[str, object]) -> None:
    answer = client.put(f"/v1/blobs/{ID}", content=DATA, headers=permit(**changes))
    assert code(answer) == (403, "upload_refused")
    assert client.get(f"/v1/blobs/{ID}").status_code == 404


@pytest.mark.parametrize("value", ["", "x", "0x00 1 0x00", f"{UPLOADER.address} soon 0x{'00' * 65}", "a b c d"])
def test_a_permit_that_cannot_be_read_is_refused(client: TestClient, value: str) -> None:
    assert code(client.put(f"/v1/blobs/{ID}", content=DATA, headers={HEADER: value})) == (403, "upload_refused")


def test_other_bytes_than_the_permit_names_are_refused_and_cost_no_allowance(client: TestClient) -> None:
    """Threat 50."""
    for _ in range(5):
        answer = client.put(f"/v1/blobs/{ID}", content=DATA[::-1], headers=permit())
        assert code(answer) == (422, "hash_mismatch")
    assert client.put(f"/v1/blobs/{ID}", content=DATA, headers=permit()).status_code == 201


def test_too_large_is_refused_before_the_body_is_read(client: TestClient) -> None:
    """Threat 80."""
    big = b"x" * (MAX_BLOB + 1)
    name = sha256(big).hexdigest()
    assert code(client.put(f"/v1/blobs/{name}", content=big, headers=permit(big))) == (413, "artifact_too_large")


def test_an_upload_needs_its_length(client: TestClient) -> None:
    assert code(client.put(f"/v1/blobs/{ID}", content=iter([DATA]), headers=permit())) == (411, "length_required")


@pytest.mark.attack
def test_an_upload_in_chunks_claims_no_other_length(client: TestClient) -> None:
    """Threat 80: what it claims is what counts on its account, and chunks end where they like."""
    headers = {**permit(size=1), "Content-Length": "1", "Transfer-Encoding": "chunked"}
    assert code(client.put(f"/v1/blobs/{ID}", content=DATA, headers=headers)) == (411, "length_required")
    assert client.head(f"/v1/blobs/{ID}").status_code == 404


def test_an_address_has_its_share_of_a_day(client: TestClient) -> None:
    """Threat 80."""
    for letter in (b"a", b"b"):
        blob = letter * 1_500
        assert (
            client.put(f"/v1/blobs/{sha256(blob).hexdigest()}", content=blob, headers=permit(blob)).status_code == 201
        )
    answer = client.put(f"/v1/blobs/{ID}", content=DATA, headers=permit())
    assert code(answer) == (403, "allowance_used")


def test_an_allowance_outlives_the_process_and_ends_with_the_day(tmp_path: Path) -> None:
    now = NOW
    Allowance(tmp_path / "db", 100, lambda: now).charge(Address("0x1"), 80)
    again = Allowance(tmp_path / "db", 100, lambda: now)
    with pytest.raises(Refused):
        again.charge(Address("0x1"), 21)
    again.charge(Address("0x2"), 100)
    now += DAY
    again.charge(Address("0x1"), 100)


def test_every_error_is_problem_json(client: TestClient) -> None:
    """RFC 9457."""
    assert code(client.get("/v1/blobs/xyz")) == (400, "bad_artifact_id")
    assert code(client.get(f"/v1/blobs/{'0' * 64}")) == (404, "artifact_missing")
    assert code(client.get("/nowhere")) == (404, "not_found")
    assert code(client.post(f"/v1/blobs/{ID}")) == (405, "method_not_allowed")
    assert code(client.get("/healthz", headers={"Host": "evil.example"})) == (421, "wrong_host")


def test_a_client_that_hurries_is_told_when_to_come_back(tmp_path: Path) -> None:
    """Threat 89."""
    settings = StoreSettings(URL, {"127.0.0.1:8460"}, 1, lambda: NOW, lambda: 0.0)
    with DiskStore(tmp_path) as store:
        keeping = Keeping(tmp_path / "pins.db", 1, 100, lambda: NOW)
        app = create_app(store, Allowance(tmp_path / "uploads.db", 1, lambda: NOW), keeping, settings)
        client = TestClient(app, base_url=URL)
        answers = [client.get("/healthz") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].headers["retry-after"] == "1"


def test_an_operator_can_ask_how_it_is(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    client.put(f"/v1/blobs/{ID}", content=DATA, headers=permit())
    assert 'heldout_store_bytes_total{direction="in"} 900.0' in client.get("/metrics").text


def test_a_full_store_takes_nothing_and_is_not_ready(client: TestClient) -> None:
    for index in range(1, 5):
        blob = bytes([index]) * 1_000
        name = ArtifactId(sha256(blob).hexdigest())
        headers = {HEADER: write_permit(Account.from_key(bytes([index]) * 32), URL, name, len(blob), NOW + 60)}
        assert client.put(f"/v1/blobs/{name}", content=blob, headers=headers).status_code == 201
    assert code(client.get("/readyz")) == (507, "store_full")
    assert code(client.put(f"/v1/blobs/{ID}", content=DATA, headers=permit())) == (507, "store_full")


def test_one_signature_may_name_several_uploads_and_no_other(client: TestClient) -> None:
    """A wallet asks a person each time; what was not in the list it showed is refused."""
    other = b"another blob"
    blobs = [(ArtifactId(sha256(data).hexdigest()), len(data)) for data in (DATA, other)]
    listed = ",".join(f"{name}:{size}" for name, size in blobs)
    signature = sign_text(UPLOADER, list_text(URL, blobs, NOW + 60))
    header = {HEADER: f"{UPLOADER.address} {NOW + 60} {signature} {listed}"}
    for (name, _), data in zip(blobs, (DATA, other), strict=True):
        assert client.put(f"/v1/blobs/{name}", content=data, headers=header).status_code == 201
    third = b"a third"
    name = sha256(third).hexdigest()
    assert code(client.put(f"/v1/blobs/{name}", content=third, headers=header)) == (403, "upload_refused")
    longer = {HEADER: f"{header[HEADER]},{name}:{len(third)}"}
    assert code(client.put(f"/v1/blobs/{name}", content=third, headers=longer)) == (403, "upload_refused")


@pytest.mark.parametrize("listed", ["x", "x:y", f"{ID}:{len(DATA)}:1", ",", f"{ID}:{len(DATA)} again"])
def test_a_list_that_cannot_be_read_is_refused(client: TestClient, listed: str) -> None:
    header = {HEADER: f"{UPLOADER.address} {NOW + 60} 0x{'11' * 65} {listed}"}
    assert code(client.put(f"/v1/blobs/{ID}", content=DATA, headers=header)) == (403, "upload_refused")
