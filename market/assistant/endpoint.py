"""Answers phrased by a language model behind an OpenAI-compatible URL, out of the same tools and nothing else.

The model gets the question and what four tools return; it gets no key, no file and no other address. What it says is
shown with the sources of the tools it used. Tool results are data: whatever a stranger wrote into a row stays inside
one JSON string.
"""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import httpx2

from heldout.market.assistant.answering import Answer, Assistant
from heldout.market.assistant.drafting import Draft
from heldout.market.errors import HeldoutError
from heldout.market.jsontext import read_json
from heldout.market.texts import text

MOST_TURNS: Final = 6
MOST_CALLS: Final = 8
"""Of tools, in one turn."""
TIMEOUT_S: Final = 60.0
MOST_BYTES: Final = 1 << 20


def _tool(name: str, what: str, argument: str, meaning: str) -> dict[str, Any]:
    properties = {argument: {"type": "string", "description": meaning}}
    parameters = {"type": "object", "properties": properties, "required": [argument]}
    return {"type": "function", "function": {"name": name, "description": what, "parameters": parameters}}


TOOLS: Final = [
    _tool("search_docs", "Passages of the documentation, with their sources.", "question", "in plain words"),
    _tool("look_up", "A job or a transaction: state, deadlines, money.", "id", "0x and hex digits"),
    _tool("explain_error", "What an error means and what to do.", "error", "its code, name or revert data"),
    _tool("draft_job", "A job.toml from a sentence, with its price.", "sentence", "what is wanted, budget included"),
]


class Endpoint:
    """`url` is the base, such as http://127.0.0.1:11434/v1. `key` goes to that host only. `patience_s` bounds one
    answer, all its turns together."""

    def __init__(
        self, assistant: Assistant, url: str, model: str, key: str = "", *, patience_s: float = MOST_TURNS * TIMEOUT_S
    ) -> None:
        self._assistant = assistant
        self._model = model
        self._patience_s = patience_s
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx2.Client(
            base_url=url.rstrip("/") + "/", headers=headers, timeout=min(TIMEOUT_S, patience_s)
        )
        self._tools: dict[str, tuple[str, Callable[[str], Answer]]] = {
            "search_docs": ("question", assistant.search),
            "look_up": ("id", assistant.explain),
            "explain_error": ("error", assistant.answer),
            "draft_job": ("sentence", assistant.draft),
        }

    def close(self) -> None:
        self._client.close()

    def answer(self, question: str) -> Answer:
        """The model's words; if the endpoint fails, the offline answer, which says so."""
        try:
            return self._converse(question)
        except (httpx2.HTTPError, ValueError, KeyError, TypeError, IndexError) as problem:
            offline = self._assistant.answer(question)
            said = text("answer.endpoint_failed", problem=f"{type(problem).__name__}")
            return Answer(f"{said}\n{offline.text}", offline.sources, offline.draft, offline.mode)

    def _converse(self, question: str) -> Answer:
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": text("system.prompt")},
            {"role": "user", "content": question},
        ]
        sources: dict[str, None] = {}
        draft: Draft | None = None
        give_up = time.monotonic() + self._patience_s
        for _ in range(MOST_TURNS):
            message = self._ask(messages, give_up)
            calls = message.get("tool_calls") or []
            if not calls:
                return Answer(str(message["content"]).strip(), tuple(sources), draft, self._model)
            messages.append({"role": "assistant", "content": message.get("content"), "tool_calls": calls})
            for call in calls:
                found = self._use(call["function"]["name"], call["function"]["arguments"])
                sources |= dict.fromkeys(found.sources)
                draft = found.draft or draft
                result = json.dumps({"text": found.text, "sources": found.sources})
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        raise ValueError(f"no answer after {MOST_TURNS} turns")

    def _ask(self, messages: list[dict[str, Any]], give_up: float) -> dict[str, Any]:
        body = {"model": self._model, "messages": messages, "tools": TOOLS, "temperature": 0}
        with self._client.stream("POST", "chat/completions", json=body) as response:
            response.raise_for_status()
            content = b""
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MOST_BYTES:
                    raise ValueError("the endpoint says too much")
                if time.monotonic() > give_up:
                    raise ValueError("the endpoint takes too long")
        message = read_json(content)["choices"][0]["message"]
        if not isinstance(message, dict) or len(message.get("tool_calls") or []) > MOST_CALLS:
            raise ValueError("the endpoint says nothing that could be an answer")
        return message

    def _use(self, name: str, arguments: str) -> Answer:
        """What a tool returns; a call that makes no sense is answered with what is wrong with it."""
        argument, tool = self._tools.get(name, ("", None))
        try:
            return tool(str(read_json(arguments.encode())[argument])) if tool else Answer(f"there is no tool {name}")
        except (ValueError, KeyError, TypeError, AttributeError):
            return Answer(f"{name} takes one argument, {argument!r}, in a JSON object")
        except HeldoutError as problem:
            return Answer(f"{problem.code}: {problem.message}")
