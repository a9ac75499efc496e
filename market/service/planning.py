"""`POST /v1/plan`: what posting a job would do, in the words of `heldout job post --dry-run`; nothing is kept or sent.

The task is read from the stores, where the wizard has put it; of the data only the root and sizes are told. Keys are
no part of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from heldout.market.artifacts import Stores, artifact_id
from heldout.market.artifacts.blob import parse_id
from heldout.market.artifacts.gate import client_of
from heldout.market.artifacts.throttle import Throttle
from heldout.market.chain import Chain
from heldout.market.errors import BadInput
from heldout.market.manifest import MAX_FILES, Manifest, TaskFile
from heldout.market.posting.drafting import SealedData, terms_of
from heldout.market.posting.jobfile import FILE_NAME, JobFile, parse
from heldout.market.posting.plan import Plan, make_plan
from heldout.market.posting.publishing import check_task
from heldout.market.service import shapes, turns
from heldout.market.service.describing import PROBLEMS
from heldout.market.service.graphs import Graphs
from heldout.market.service.rows import shown
from heldout.market.settings import Network
from heldout.market.signatures import checksummed
from heldout.market.terms import JobTerms, job_id

_MANIFEST_BYTES: Final = 1 << 20
Hash = Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]
JobText = Annotated[str, Field(max_length=20_000)]


class Draft(BaseModel):
    """A job file, and what was made of its task and data. `rows`: of each sealed shard."""

    requester: Annotated[str, Field(pattern="^0x[0-9a-fA-F]{40}$")]
    wrap_key: Hash
    job_file: JobText
    task: Hash
    salt: Hash
    root: Hash
    shard_bytes: Annotated[int, Field(ge=1, lt=2**32)]
    rows: Annotated[list[Annotated[int, Field(ge=1, lt=2**40)]], Field(min_length=16, max_length=64)]


class File(BaseModel):
    """One file of a task, as the manifest names it."""

    path: Annotated[str, Field(max_length=400)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0, lt=2**40)]


class TaskDraft(BaseModel):
    """A job file and the files of its task."""

    job_file: JobText
    files: Annotated[list[File], Field(max_length=MAX_FILES)]
    graph: File


def manifest_of(draft: TaskDraft, images: Mapping[str, str]) -> Manifest:
    """Raises BadJobFile, BadManifest; `images` are the network's own, for a job file that names none."""
    job = parse(draft.job_file, Path(FILE_NAME))
    found = dict(job.image or images)
    if not found:
        raise job.error("task", "image", "there is no job image", hint="this network has none of its own: name yours")
    files, graph = (tuple(TaskFile(f.path, f.sha256, f.bytes) for f in each) for each in (draft.files, [draft.graph]))
    made = Manifest(files, found, job.command, job.resources, graph[0], job.score.metric, job.score.scorer)
    made.check()
    check_task(job, [file.path for file in files])
    return made


class Planner:
    """Terms and plan of a draft, from chain and stores."""

    def __init__(self, network: Network, chain: Chain, stores: Stores, graphs: Graphs) -> None:
        self._network, self._chain, self._stores, self._graphs = network, chain, stores, graphs

    @property
    def images(self) -> Mapping[str, str]:
        return self._network.images

    def plan(self, draft: Draft) -> tuple[JobTerms, Plan]:
        """Raises BadInput and its kinds for what the contract or a node would refuse, ChainProblem, StoreProblem."""
        job = parse(draft.job_file, Path(FILE_NAME))
        if job.shards != len(draft.rows):
            raise BadInput(f"{job.shards} shards are asked for, {len(draft.rows)} were sealed", code="data_changed")
        task = artifact_id(_bytes(draft.task))
        manifest = Manifest.decode(self._stores.get(task, _MANIFEST_BYTES))
        _check_same(job, manifest, self._network.images)
        facts = self._graphs.facts(parse_id(manifest.graph.sha256))
        rows = tuple(draft.rows)
        sealed = SealedData(_bytes(draft.salt), _bytes(draft.root), job.shards, draft.shard_bytes, rows, "")
        me, key = checksummed(draft.requester), _bytes(draft.wrap_key)
        terms = terms_of(job, self._chain.parameters(), manifest, facts, sealed, me, key)
        identity = job_id(terms, self._network.chain_id, self._network.market)
        return terms, make_plan(self._chain, identity, terms, manifest, me)


def _bytes(word: str) -> bytes:
    return bytes.fromhex(word[2:])


def _check_same(job: JobFile, manifest: Manifest, images: Mapping[str, str]) -> None:
    """Raises BadInput if the manifest in the stores is not of this job file."""
    asked = (job.command, job.resources, job.score.metric, job.score.scorer, dict(job.image or images))
    found = (manifest.command, manifest.resources, manifest.metric, manifest.scorer, manifest.image)
    if asked != found:
        hint = "upload the task again"
        raise BadInput("the uploaded task is not the one that the job file describes", hint=hint, code="task_changed")


def plan_routes(planner: Planner, askers: Throttle) -> APIRouter:
    """`askers` bounds what one client may have worked out."""
    routes = APIRouter(prefix="/v1", tags=["posting"], responses=PROBLEMS)

    @routes.post("/manifest", response_model=shapes.ManifestText)
    def manifest(draft: TaskDraft, request: Request) -> Any:
        """The text of a task's manifest, to be uploaded: its SHA-256 is the terms' task hash."""
        askers.take(client_of(request.scope))
        return {"manifest": manifest_of(draft, planner.images).encode().decode()}

    @routes.post("/plan", dependencies=[turns.PLANS], response_model=shapes.PlanShown)
    def plan(draft: Draft, request: Request) -> Any:
        """Terms with every default filled in and every bound checked, and the plan in words. Nothing is sent."""
        askers.take(client_of(request.scope))
        terms, made = planner.plan(draft)
        return {
            "job": made.job,
            "terms": shown(vars(terms) | {"parents": [vars(p) for p in terms.parents]}),
            "lines": made.lines(),
            "plan": made.as_json(),
        }

    return routes
