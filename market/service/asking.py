"""The assistant behind the pages' dock and /v1/ask: answers out of documentation and the index's own rows.

It is put together on the first question: an index that nobody asks does without it (6 MB). It holds no key and sends
nothing; a draft is text, and a link that opens the wizard with it filled in:

    /post?draft=BASE64URL        the job.toml in UTF-8, without padding (RFC 4648, 5), read by the wizard

Offline by default: BM25 over the packaged pages. An operator may name an OpenAI-compatible endpoint, which then phrases
the answers out of the same tools; what that may cost is bounded for all clients together, and beyond it, or if it
fails, the offline answer is given, which says so. `heldout chat` adds sentence embeddings, on its user's own machine.
"""

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Any, Final

from heldout.market.artifacts.throttle import Throttle, Throttled
from heldout.market.errors import HeldoutError
from heldout.market.lifecycle import ChainEvent, fold
from heldout.market.money import Wei, parse_tokens
from heldout.market.narration import clock, narrate
from heldout.market.service.reading import Reading
from heldout.market.terms import JobId
from heldout.market.texts import text, tr

if TYPE_CHECKING:
    from heldout.market.assistant.answering import Answer, Assistant, Told
    from heldout.market.assistant.endpoint import Endpoint

LONGEST: Final = 2_000
"""Characters of a question; assistant.answering cuts at as many."""
_USUAL_FEE: Final = parse_tokens("0.01")
"""What a draft reckons with while the chain does not answer: it is a draft."""
_LAST_EVENTS: Final = 12


MOST_AT_ONCE: Final = 2
"""Questions that wait for an endpoint: each holds one of the service's few threads."""
PATIENCE_S: Final = 30.0
_ALL: Final = "all clients"


@dataclass(frozen=True)
class Model:
    """A language model behind an OpenAI-compatible URL. `key` is the endpoint's own and goes there alone; `hourly` is
    how many questions of all clients together it is asked in an hour."""

    url: str
    name: str
    key: str = field(default="", repr=False)
    hourly: float = 60.0


class Asking:
    """`minimum_fee` asks the chain for the market's least fee per seat, and may raise HeldoutError; `questions` bounds
    how often one client asks. `ticks` are seconds that never go back."""

    def __init__(
        self,
        reading: Reading,
        minimum_fee: Callable[[], Wei],
        questions: Throttle,
        model: Model | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows, self._questions = _Rows(reading, minimum_fee), questions
        self._making = Lock()
        self._model, self._asked_at_once = model, BoundedSemaphore(MOST_AT_ONCE)
        self._budget = Throttle(model.hourly / 3600, max(1.0, model.hourly), ticks) if model else None

    def answer(self, question: str, client: str) -> dict[str, Any]:
        """Text, its sources, who answered, and perhaps a draft with its price and the wizard's address.

        Raises Throttled.
        """
        self._questions.take(client)
        with self._making:
            assistant, endpoint = self._assistant, self._endpoint
        answer = self._phrased(endpoint, question) if endpoint else assistant.answer(question)
        draft = None
        if answer.draft is not None:
            toml = answer.draft.toml
            draft = {"toml": toml, "price": answer.draft.price_line, "wizard": wizard_address(toml)}
        return {"text": answer.text, "sources": list(answer.sources), "mode": answer.mode, "draft": draft}

    def _phrased(self, endpoint: "Endpoint", question: str) -> "Answer":
        if self._may_ask():
            try:
                return endpoint.answer(question[:LONGEST])
            finally:
                self._asked_at_once.release()
        answer = self._assistant.answer(question)
        return replace(answer, text=f"{text('answer.endpoint_busy')}\n{answer.text}")

    def _may_ask(self) -> bool:
        """Whether a place and a question of the budget are free; both are taken then."""
        if self._budget is None or not self._asked_at_once.acquire(blocking=False):
            return False
        try:
            self._budget.take(_ALL)
        except Throttled:
            self._asked_at_once.release()
            return False
        return True

    @cached_property
    def _endpoint(self) -> "Endpoint | None":
        from heldout.market.assistant.endpoint import Endpoint

        model = self._model
        if model is None:
            return None
        return Endpoint(self._assistant, model.url, model.name, model.key, patience_s=PATIENCE_S)

    @cached_property
    def _assistant(self) -> "Assistant":
        from heldout.market.assistant.answering import Assistant
        from heldout.market.assistant.passages import passages
        from heldout.market.assistant.ranking import Bm25

        return Assistant(Bm25(passages()), self._rows)


def wizard_address(toml: str) -> str:
    """Where the wizard opens with this job.toml filled in."""
    return "/post?draft=" + urlsafe_b64encode(toml.encode()).decode().rstrip("=")


class _Rows:
    """Facts out of the index. Satisfies assistant.answering.Facts."""

    def __init__(self, reading: Reading, minimum_fee: Callable[[], Wei]) -> None:
        self._reading, self._fee = reading, minimum_fee

    def look_up(self, identity: str) -> "Told | None":
        from heldout.market.assistant.answering import Told

        job = self._reading.job_beginning(identity.lower())
        if job is None:
            events = self._reading.transaction(identity.lower())
            if not events:
                return None
            place = tr("tx %(tx)s, block %(block)s", tx=identity.lower(), block=events[0].block)
            return Told(tuple(map(_in_a_job, events)), place)
        history = self._reading.history(JobId(job))
        state = fold(history)[JobId(job)]
        lines = [tr("Job %(job)s is %(state)s.", job=job, state=tr(state.state.name.lower()))]
        if not state.final:
            lines.append(tr("Its next deadline is %(time)s.", time=clock(state.deadline)))
        lines += [narrate(event) for event in history[-_LAST_EVENTS:]]
        return Told(tuple(lines), tr("job %(job)s, last changed in tx %(tx)s", job=job, tx=history[-1].tx))

    def minimum_fee(self) -> Wei:
        try:
            return self._fee()
        except HeldoutError:
            return _USUAL_FEE


def _in_a_job(event: ChainEvent) -> str:
    told = narrate(event)
    return tr("job %(job)s: %(told)s", job=event.job, told=told) if event.job else told
