"""A job to take away: as a job file to start the next one from, and as a program that reads it."""

import json
from typing import Any

from heldout.market.service.pages.job_view import JobView


def as_toml(view: JobView) -> str:
    """A job.toml that asks for the same. Folders of task and data are the reader's own, so they get usual names."""
    terms, manifest = view.job.terms, view.manifest
    sections: dict[str, dict[str, Any]] = {
        "job": {"name": f"like-{view.job.id[2:10]}"},
        "task": {"command": list(manifest.command), "graph": manifest.graph.path, "image": manifest.image}
        if manifest
        else {"command": ["python3", "/in/task/train.py"], "graph": "model.onnx"},
        "data": {"path": "data", "shards": terms.shards, "held_out": terms.heldOut},
        "score": {
            "metric": view.metric,
            "floor": _million(terms.floor),
            "target": _million(terms.target),
            "floor_pay": _million(terms.floorPay),
        },
        "pay": {
            "price": _tokens(terms.priceCap),
            "lanes": terms.lanes,
            "validators": terms.committee,
            "fee": _tokens(terms.fee),
            "bond": _tokens(terms.bond),
            "collateral": _tokens(terms.collateral),
        },
        "deadlines": {name: getattr(terms, f"{field}Window") for name, field in _WINDOWS.items()},
    }
    if manifest:
        needs = manifest.resources
        sections["resources"] = {
            "cpus": needs.cpus,
            "memory": needs.memory_bytes,
            "disk": needs.disk_bytes,
            "gpus": needs.gpus,
            "seconds": needs.seconds,
        }
    texts = [
        f"[{name}]\n" + "".join(f"{k} = {_value(v)}\n" for k, v in keys.items()) for name, keys in sections.items()
    ]
    return f"# Like job {view.job.id}\n# task {terms.taskHash.hex()}\n\n" + "\n".join(texts)


_WINDOWS = {
    "bids": "bid",
    "work": "work",
    "release": "release",
    "commit": "commit",
    "reveal": "reveal",
    "challenge": "challenge",
}


def as_python(view: JobView, url: str) -> str:
    """A program that reads the job from the service, and says how to read it from the chain alone."""
    return f'''"""Job {view.job.id}, read from the market service.

From the chain alone, believing nobody:  heldout job show {view.job.id} --trustless
"""

from heldout.market.index_client import IndexClient

with IndexClient({json.dumps(url)}) as market:
    job = market.job({json.dumps(view.job.id)})
    print(job["state"], job["outcome"])
    for lane in job["lanes"]:
        print(lane["provider"], lane["score"], lane["payout"])
    for row in market.money(job["id"])["money"]:
        print("in " if row["incoming"] else "out", row["purpose"], row["account"], row["amount"])
'''


def _million(ppm: int) -> Any:
    return _Bare(f"{ppm // 1_000_000}.{ppm % 1_000_000:06d}")


def _tokens(wei: int) -> Any:
    whole, part = divmod(wei, 10**18)
    return f"{whole}.{part:018d}".rstrip("0").rstrip(".")


class _Bare(str):
    """A number, written as it stands."""


def _value(value: Any) -> str:
    """TOML of a value. Its basic strings are JSON's, but for two things: no surrogate is escaped, and DEL is."""
    if isinstance(value, _Bare):
        return str(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_value(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
