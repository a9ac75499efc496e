"""The database of one test: a SQLite file, or with $HELDOUT_TEST_DATABASE one of its own in that PostgreSQL.

`tests/integration/test_service_postgres.py` runs every test that comes here a second time, so.
"""

import os
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Engine, make_url, text

from heldout.market.service.database import open_database

VARIABLE = "HELDOUT_TEST_DATABASE"


def database_of(path: Path) -> Engine:
    """Opened; made if `path` was not opened before."""
    server = os.environ.get(VARIABLE)
    if not server:
        return open_database(str(path))
    name = "test_" + sha256(str(path).encode()).hexdigest()[:24]
    admin = open_database(server).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        if not connection.execute(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}).first():
            connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return open_database(make_url(server).set(database=name).render_as_string(hide_password=False))
