"""A store in a bucket: obstore's own S3 client against moto's server, which checks every signature."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import httpx2
import pytest
from eth_account import Account
from moto.server import ThreadedMotoServer
from prometheus_client import CollectorRegistry

from heldout.devnet.anvil import free_port
from heldout.market.artifacts import ArtifactId, HttpStore, Stores
from heldout.market.artifacts.collecting import Collector
from heldout.market.artifacts.keeping import Keeping
from heldout.market.artifacts.s3 import open_bucket
from heldout.market.errors import BadInput, HashMismatch, StoreProblem
from heldout.market.terms import Address
from tests.servers import served

pytestmark = pytest.mark.integration

DATA = bytes(range(256)) * 4096
ID = ArtifactId(sha256(DATA).hexdigest())
PREFIX = "some/prefix"
_MAY_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class Bucket:
    """As its owner sees it, beside what is tried on it."""

    def __init__(self, endpoint: str, key: dict[str, Any]) -> None:
        self.url, self.endpoint = f"s3://bucket/{PREFIX}", endpoint
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
        self._s3 = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1",
            aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"],
        )  # fmt: skip
        self._s3.create_bucket(Bucket="bucket")

    def keys(self) -> list[str]:
        return [each["Key"] for each in self._s3.list_objects_v2(Bucket="bucket").get("Contents", [])]

    def read(self, key: str) -> bytes:
        return bytes(self._s3.get_object(Bucket="bucket", Key=key)["Body"].read())

    def write(self, key: str, data: bytes) -> None:
        self._s3.put_object(Bucket="bucket", Key=key, Body=data)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty one, of a user who may do everything; from here on whoever signs badly may do nothing."""
    httpx2.post(f"{server}/moto-api/reset", trust_env=False)
    nobody = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    iam = boto3.client("iam", endpoint_url=server, **nobody)
    iam.create_user(UserName="store")
    iam.put_user_policy(UserName="store", PolicyName="all", PolicyDocument=json.dumps(_MAY_ALL))
    key = iam.create_access_key(UserName="store")["AccessKey"]
    httpx2.post(f"{server}/moto-api/reset-auth", content=b"0", trust_env=False)
    bucket = Bucket(server, key)
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    yield bucket
    httpx2.post(f"{server}/moto-api/reset-auth", content=b"inf", trust_env=False)


def test_artifacts_lie_in_the_bucket_under_their_hash(bucket: Bucket, tmp_path: Path) -> None:
    store = Stores.of([bucket.url])
    (tmp_path / "file").write_bytes(DATA)
    assert store.put(tmp_path / "file") == store.put(DATA) == ID
    assert bucket.keys() == [f"{PREFIX}/blobs/{ID}"]
    assert store.get(ID) == DATA
    assert b"".join(store.open(ID, 10, 20)) == DATA[10:20]
    assert not store.has(ArtifactId("0" * 64))


def test_a_bucket_is_not_believed_either(bucket: Bucket) -> None:
    """Threat 50."""
    store = Stores.of([bucket.url])
    store.put(DATA)
    bucket.write(f"{PREFIX}/blobs/{ID}", b"other bytes")
    with pytest.raises(HashMismatch):
        store.get(ID)


def test_a_bucket_that_does_not_answer_is_a_problem_that_may_pass(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreProblem) as problem:
        Stores.of([bucket.url]).size(ID)
    assert problem.value.retryable


def test_who_has_not_the_buckets_key_gets_nothing(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is told so, rather than that the artifact is missing."""
    Stores.of([bucket.url]).put(DATA)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(StoreProblem) as problem:
        Stores.of([bucket.url]).get(ID)
    assert problem.value.code != "artifact_missing"


def test_an_address_that_is_no_bucket_is_refused() -> None:
    with pytest.raises(BadInput):
        Stores.of(["s3://"])


def test_a_store_server_can_keep_its_artifacts_in_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = ["store", "serve", "--dir", str(tmp_path / "spool"), "--s3", bucket.url, "--listen", f"127.0.0.1:{port}"]
    with served(words, url, tmp_path / "log"):
        store = HttpStore(url, Account.from_key("0x" + "01" * 32))
        assert store.put(DATA) == ID
        assert store.get(ID) == DATA
        assert b"".join(store.open(ID, 1, 5)) == DATA[1:5]
        store.close()
    assert bucket.read(f"{PREFIX}/blobs/{ID}") == DATA
    assert list((tmp_path / "spool" / "incoming").iterdir()) == []


def test_what_nobody_keeps_leaves_the_bucket(bucket: Bucket, tmp_path: Path) -> None:
    """Listed, found again after a crash, and removed, by obstore's own requests."""
    now = 1_800_000_000.0
    vault = open_bucket(bucket.url, tmp_path)
    kept, orphan = vault.put(DATA), vault.put(b"of an older store")
    bucket.write(f"{PREFIX}/blobs/readme.txt", b"somebody else's")
    keeping = Keeping(tmp_path / "pins.db", 1 << 30, 100, lambda: now)
    keeping.pin(kept, Address("0x" + "11" * 20), len(DATA))
    collector = Collector(keeping, vault, NoJobs(), CollectorRegistry(), lambda: now)
    collector.reconcile()
    assert dict(vault.ids()) == {kept: len(DATA), orphan: 17}
    now += 99
    keeping.pin(kept, Address("0x" + "11" * 20), len(DATA))
    now += 2
    assert collector.round() == 1
    assert bucket.keys() == [f"{PREFIX}/blobs/{kept}", f"{PREFIX}/blobs/readme.txt"]
    keeping.close()


class NoJobs:
    """A chain on which nothing ever happened."""

    def head(self, confirmations: int = 0) -> SimpleNamespace:
        return SimpleNamespace(number=0)

    def events(self, first: int, last: int, *, names: object = None) -> list[object]:
        return []
