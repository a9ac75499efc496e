"""Capability from and to JSON: what the process `python -m heldout.kernels` answers (see `child.ask`).

    --capability          {"seed", "devices", "products": folder or ""}  gives  [{"device", "name", "work": [...]}]
    --check-capability    {"seed", "work": [...], "products": folder or ""}  gives  [true, false, …]

A seed is hex, work is a list of `capability.Task` as objects. Products are files named by their SHA-256.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from heldout.kernels.capability import Task, is_right, measure
from heldout.kernels.devices.choice import open_workbench
from heldout.kernels.errors import NoDevice


def measured(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Every device asked for that this machine has; products are written to the folder, if one is named."""
    seed = bytes.fromhex(request["seed"])
    found = []
    for device in request["devices"]:
        try:
            bench = open_workbench(device)
        except NoDevice:
            continue
        work = []
        for task, result in measure(bench, seed):
            work.append(asdict(task))
            if request["products"] and task.kind == "multiply":
                Path(request["products"], task.sha256).write_bytes(result)
        found.append({"device": device, "name": bench.name, "work": work})
    return found


def checked(request: dict[str, Any]) -> list[bool]:
    """Whether each piece of work has the result that it names. A product in the folder is checked, not repeated."""
    seed = bytes.fromhex(request["seed"])
    return [_is_right(Task(**raw), seed, request["products"]) for raw in request["work"]]


def _is_right(task: Task, seed: bytes, folder: str) -> bool:
    product = Path(folder, task.sha256)
    return is_right(task, seed, product.read_bytes() if folder and product.is_file() else None)
