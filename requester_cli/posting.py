"""From a job folder to what goes on chain: the manifest, and its terms (heldout.market.posting)."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from heldout.market.artifacts.blob import identify
from heldout.market.chain.views import Parameters
from heldout.market.errors import BadInput
from heldout.market.jsontext import canonical_json
from heldout.market.manifest import Manifest, TaskFile
from heldout.market.posting.drafting import GraphFacts, SealedData, terms_of
from heldout.market.posting.jobfile import JobFile
from heldout.market.posting.publishing import check_task
from heldout.market.settings import Network
from heldout.market.terms import Address, JobId, JobTerms, job_id
from heldout.requester_cli.project import Project


@dataclass(frozen=True)
class Posting:
    """A job that is ready to be posted. `blobs` are the artifacts its terms name, apart from the sealed shards."""

    job: JobId
    terms: JobTerms
    manifest: Manifest
    blobs: tuple[bytes, ...]
    sealed: SealedData

    @property
    def subject(self) -> str:
        """What a `job check` was of: task, data, and the bounds that its verdict depends on."""
        terms = self.terms
        parts = [terms.taskHash.hex(), terms.dataRoot.hex(), terms.heldOut, terms.floor, terms.target]
        return sha256(canonical_json(parts)).hexdigest()


def draft(project: Project, network: Network, market: Parameters, requester: Address, wrap_key: bytes) -> Posting:
    """The posting that a folder describes. Raises BadJobFile, BadInput."""
    job, sealed = project.job, project.sealed_data()
    graph, files = project.graph(), project.task_files()
    facts = read_graph(graph)
    manifest = Manifest(
        files=tuple(_describe(path, data) for path, data in files.items()),
        image=_image(job, network),
        command=job.command,
        resources=job.resources,
        graph=_describe(job.graph.name, graph),
        metric=job.score.metric,
        scorer=job.score.scorer,
    )
    manifest.check()
    check_task(job, files)
    terms = terms_of(job, market, manifest, facts, sealed, requester, wrap_key)
    identity = job_id(terms, network.chain_id, network.market)
    return Posting(identity, terms, manifest, (*files.values(), graph, manifest.encode()), sealed)


def read_graph(graph: bytes) -> GraphFacts:
    """Raises BadInput, with the scorer's own code, for a graph that cannot be scored."""
    from heldout.kernels.errors import BadGraph
    from heldout.kernels.loader import load

    try:
        loaded = load(graph)
    except BadGraph as problem:
        hint = "docs/score-v1.md lists the operators; export with opset 17 or later"
        raise BadInput(problem.message, hint=hint, code=problem.code) from None
    return GraphFacts.of(loaded.operations_per_row, loaded.weights)


def _describe(path: str, data: bytes) -> TaskFile:
    digest, size = identify(data)
    return TaskFile(path, digest, size)


def _image(job: JobFile, network: Network) -> dict[str, str]:
    images: Mapping[str, str] = job.image or network.images
    if not images:
        hint = "the network file names none; build the job image, or write the id of yours"
        raise job.error("task", "image", "there is no job image", hint=hint)
    return dict(images)
