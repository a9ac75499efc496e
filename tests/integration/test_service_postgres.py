"""The index in PostgreSQL: the same rows, hash and rules as in SQLite. Needs a PostgreSQL installation and psycopg."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from heldout.devnet.anvil import free_port
from heldout.market.service.database import open_database, state_hash
from heldout.market.service.indexer import Index
from heldout.market.service.reading import Reading
from tests.builders import JOB
from tests.databases import VARIABLE
from tests.letter_board import PROVIDER, Board, bid
from tests.scripted_chain import ScriptedChain, caught_up, seat_log
from tests.unit.test_lifecycle import honest_job

pytestmark = pytest.mark.integration
pytest.importorskip("psycopg")

BINARIES = next((path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None)
ROOT = os.geteuid() == 0
SAME = (
    *("tests/unit/test_service_api.py", "tests/unit/test_market_pages.py"),
    *("tests/unit/test_holdings.py", "tests/unit/test_letters.py", "tests/unit/test_manifests_fetched.py"),
    "tests/attacks/test_sign_in.py",
)


def run(*words: str) -> None:
    """As the user that PostgreSQL insists on: anybody but root."""
    subprocess.run(words, check=True, capture_output=True, timeout=60, user="postgres" if ROOT else None)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of this test's own, on a free port of loopback."""
    if BINARIES is None:
        (pytest.fail if os.environ.get("HELDOUT_REQUIRE_POSTGRES") else pytest.skip)("PostgreSQL is not installed")
    folder = Path(subprocess.check_output(["mktemp", "-d", "-p", "/tmp", "heldout-postgres-XXXX"], text=True).strip())
    if ROOT:
        shutil.chown(folder, "postgres")
    port = free_port()
    data, log = str(folder / "data"), str(folder / "log")
    run(str(BINARIES / "initdb"), "-D", data, "-A", "trust", "-U", "heldout", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -c unix_socket_directories={folder}"
    run(str(BINARIES / "pg_ctl"), "-D", data, "-l", log, "-o", options, "-w", "start")
    try:
        yield f"postgresql://heldout@/postgres?host={folder}&port={port}"
    finally:
        run(str(BINARIES / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def engine(cluster: str) -> Iterator[Engine]:
    engine = open_database(cluster)
    with engine.begin() as connection:
        for table in ("events", "jobs", "lanes", "rounds", "votes", "money", "seats", "cursor", "letters", "nonces"):
            connection.exec_driver_sql(f"TRUNCATE TABLE {table}")
    yield engine
    engine.dispose()


def test_both_databases_hold_the_same_rows(engine: Engine, tmp_path: Path) -> None:
    """P11e: the hash is over values, not over how a database keeps them. With a reorg on the way."""
    chain, sqlite = ScriptedChain(), open_database(str(tmp_path / "db"))
    for event in (*honest_job().events, *seat_log()):
        chain.add(event)
        Index(engine, chain).step()
    gone = chain.take_back(5)
    chain.add(*gone)
    caught_up(Index(engine, chain))
    caught_up(Index(sqlite, chain))
    with engine.connect() as there, sqlite.connect() as here:
        assert state_hash(there) == state_hash(here)
    assert Reading(engine).job(JOB) == Reading(sqlite).job(JOB)
    sqlite.dispose()


def test_letters_obey_the_same_rules(engine: Engine) -> None:
    board = Board(engine)
    assert board.letters.post(bid(), None)
    assert not board.letters.post(bid(), None)
    board.accept()
    assert board.post("0x" + "11" * 20, PROVIDER.address)
    assert len(board.letters.bids(JOB)) == 1


@pytest.mark.deep
def test_everything_that_passes_on_sqlite_passes_here(cluster: str) -> None:
    """Index, letters, sign-in, API, pages, privacy: the very tests of SQLite, each in a schema of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SAME]
    done = subprocess.run(command, env={**os.environ, VARIABLE: cluster}, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 200
