"""A service over a crowded market, for `bench_service`: 10,000 open jobs, 1,000 providers with a past.

`python -m tests.bench.crowded_market FOLDER PORT` serves it, and prints as one JSON line what there is to ask for.
`python -m tests.bench.crowded_market --bare PORT` serves a FastAPI app that answers {}.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from heldout.market.artifacts.listening import listen
from heldout.market.artifacts.serving import serve
from heldout.market.money import ONE_TOKEN
from heldout.market.service.app import ServiceSettings, create_app
from heldout.market.service.database import open_database
from tests.scenery import Scenery, Told, account, indexed
from tests.service_app import NETWORK

OPEN_JOBS = 10_000
PROVIDERS = 1_000
_METRICS = (1, 2, 3, 4)


def crowded() -> tuple[Scenery, dict[str, Any]]:
    """Every provider was paid once; then all the open jobs are posted, a hundred in a block."""
    scene = Scenery()
    scene.stake(8)
    settled = []
    for number in range(PROVIDERS):
        play = scene.job(f"past {number}").accept((f"provider {number}", 50 + number % 40)).submit().commit(4, 9, 17)
        settled.append(play.reveal(*[[950_000 + number % 30_000]] * 3).settle(950_000 + number % 30_000).id)
    open_jobs = []
    for number in range(OPEN_JOBS):
        price = (20 + number % 200) * ONE_TOKEN
        open_jobs.append(scene.job(f"open {number}", metric=_METRICS[number % 4], priceCap=price).id)
    known = {"settled": settled[::40], "open": open_jobs[::400]}
    return scene, known | {"providers": [account(f"provider {number}") for number in range(0, PROVIDERS, 40)]}


def main(words: list[str]) -> None:
    if words[0] == "--bare":
        bare = FastAPI()

        @bare.get("/")
        async def nothing() -> dict[str, str]:
            return {}

        _serve(bare, int(words[1]))
        return
    folder, port = Path(words[0]), int(words[1])
    engine = open_database(str(folder / "crowded.db"))
    scene, known = crowded()
    began = time.monotonic()
    indexed(engine, scene)
    known |= {"events": len(scene.events), "seconds": time.monotonic() - began}
    host = f"127.0.0.1:{port}"
    settings = ServiceSettings(f"http://{host}", {host}, 1e6, bytes(32), time.time, time.monotonic)
    app = create_app(NETWORK, Told(scene), engine, settings)  # type: ignore[arg-type]
    print(json.dumps(known), flush=True)
    _serve(app, port)


def _serve(app: FastAPI, port: int) -> None:
    """As `market serve` does it: what happens on the socket is part of every answer's time."""
    serve(app, listen(f"127.0.0.1:{port}"))


if __name__ == "__main__":
    main(sys.argv[1:])
