"""One use of sealed data: what one job gave to its providers, another job would hold out (threat 67)."""

from collections.abc import Iterator

from heldout.market.chain.reader import Chain
from heldout.market.chain.views import Block, JobView
from heldout.market.errors import BadInput
from heldout.market.lifecycle import State
from heldout.market.terms import JobId, JobTerms


def others_of(chain: Chain, job: JobId, terms: JobTerms, head: Block) -> Iterator[tuple[JobId, JobView]]:
    """Every other job of its requester on the same sealed data, as it stands at `head`. A stranger who names the same
    root has no key to it."""
    for event in chain.events(chain.network.deploy_block, head.number, names=["Posted"]):
        theirs = event.args["terms"]
        same = bytes(theirs["dataRoot"]) == terms.dataRoot and theirs["requester"].lower() == terms.requester.lower()
        if same and event.job is not None and event.job != job:
            yield event.job, chain.job(event.job, at=head)


def refuse_used_data(chain: Chain, job: JobId, terms: JobTerms, head: Block, *, posting: bool = True) -> None:
    """Raises BadInput `data_used` for data that an accepted job opened or, before `posting`, that an open one may."""
    for other, view in others_of(chain, job, terms, head):
        if view.accept_block:
            hint = "use data no provider has seen; `heldout data seal --again` seals it under fresh keys"
            raise BadInput(f"these shards were opened in job {other}", hint=hint, code="data_used")
        if posting and view.state is State.OPEN and head.timestamp < view.deadline:
            raise data_offered(other)


def data_offered(other: JobId) -> BadInput:
    hint = f"take that one back first: `heldout job cancel {other}`; or seal anew: `heldout data seal --again`"
    return BadInput(f"these shards are offered in job {other} already", hint=hint, code="data_used")
