"""The database of one test: a SQLite file, or with $HELDOUT_TEST_DATABASE a schema of its own in that PostgreSQL.

`tests/integration/test_service_postgres.py` runs every test that comes here a second time, so.
"""

import os
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine, make_url, text

from heldout.market.service.database import open_database

VARIABLE = "HELDOUT_TEST_DATABASE"


def database_of(path: Path) -> Engine:
    """Opened; made if `path` was not opened before."""
    server = os.environ.get(VARIABLE)
    if not server:
        return open_database(str(path))
    name = "test_" + sha256(str(path).encode()).hexdigest()[:24]
    admin = create_engine(make_url(server).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {name}"))
    url = make_url(server).update_query_dict({"options": f"-csearch_path={name}"})
    return open_database(url.render_as_string(hide_password=False))
