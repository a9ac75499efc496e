"""The assistant: sourced answers, drafts within the budget, errors explained; it never raises at what people write."""

from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.market import errors
from heldout.market.assistant.answering import Assistant, Told
from heldout.market.assistant.drafting import draft
from heldout.market.assistant.embedding import PACKAGE, Embeddings
from heldout.market.assistant.passages import LONGEST, Passage, passages, split
from heldout.market.assistant.ranking import Bm25, Fused, words
from heldout.market.assistant.wishes import wants_draft
from heldout.market.chain.contracts import interface
from heldout.market.chain.hints import HINTS
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.posting.jobfile import parse

CENT = Wei(ONE_TOKEN // 100)
JOB = "0x" + "ab" * 32
ASKED = {
    "How do I get my stake back?": "How do I get my stake back?",
    "what happens when a provider vanishes and disappears": "What happens if the provider disappears?",
    "the requester withholds the keys, what happens?": "What happens if the requester disappears or withholds keys?",
    "how many validators should I ask for": "How many validators should I ask for?",
    "is my data private": "Is my data private?",
    "what does a job cost me": "What does a job cost?",
    "how are validators chosen": "How are validators chosen?",
    "what is a lane": "What is a lane?",
    "what happens if my training program crashes?": "What happens if my training program crashes?",
    "which metrics are supported?": "Which metrics are there?",
    "how do I become a provider": "How do I become a provider?",
    "can the requester peek at my weights without paying?": "Can the requester peek at the weights and not pay?",
}


class Rows:
    """One job, and a market whose least fee is a cent."""

    def look_up(self, identity: str) -> Told | None:
        return Told(("state  scored",), f"job {JOB}") if JOB.startswith(identity) else None

    def minimum_fee(self) -> Wei:
        return CENT


@pytest.fixture(scope="module")
def assistant() -> Assistant:
    return Assistant(Bm25(passages()), Rows())


# ---------------------------------------------------------------------------------------------------- finding


@pytest.mark.parametrize("question, title", ASKED.items())
def test_a_users_question_finds_its_answer(assistant: Assistant, question: str, title: str) -> None:
    answer = assistant.answer(question)
    assert answer.sources[0] == f"questions.md {title}"
    assert answer.text and answer.mode == "offline: BM25; nothing was sent anywhere"


@pytest.mark.parametrize("question", ["how do I use my own CSV data?", "which files of my job folder are public?"])
def test_who_brings_a_table_finds_the_page(assistant: Assistant, question: str) -> None:
    assert assistant.answer(question).sources[0].startswith("your-data.md")


def test_a_question_about_nothing_of_ours_gets_no_answer(assistant: Assistant) -> None:
    answer = assistant.answer("zzgl brmpft?")
    assert answer.sources == () and "nothing about that" in answer.text


def test_clauses_are_passages_that_can_be_cited() -> None:
    sources = {passage.source for passage in passages()}
    assert {"protocol.md P4.5", "protocol.md P1.4", "cli.md heldout job post"} <= sources
    assert max(len(passage.text) for passage in passages()) <= LONGEST + 200


def test_a_hash_in_a_code_block_is_no_heading() -> None:
    page = "# One\ntext\n```sh\n# a comment\n```\nmore\n## Two\nlast"
    assert [(p.source, p.text.splitlines()[0]) for p in split("a.md", page)] == [
        ("a.md One", "text"),
        ("a.md Two", "last"),
    ]


def test_who_is_near_the_top_of_both_lists_is_first() -> None:
    both, one, other = (Passage(name, name, name) for name in ("both", "one", "other"))
    first = Bm25([both, one])
    second = Bm25([both, other])
    fused = Fused(first, second)
    assert [hit.passage for hit in fused.best("both", 3)] == [both]
    assert fused.name == "BM25 and BM25"


def test_names_in_code_are_words() -> None:
    assert words("submitAnswer job_id staked") == words("submit answer job id stake")


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="the sentence embeddings are an extra")
def test_meaning_is_found_without_a_shared_word(tmp_path: Path) -> None:
    """The second ranker reads its vectors from the cache."""
    bond, training, tokens = (
        Passage("a", "Unbonding", "A validator that exits waits out the delay, then its bond is released."),
        Passage("b", "Training", "The job runs in a container without network."),
        Passage("c", "Weather", "Rain is expected in the afternoon."),
    )
    pages, question = (training, tokens, bond), "leaving the staking pool"
    assert Bm25(pages).best(question, 3) == []
    for _ in range(2):
        assert Embeddings(pages, tmp_path).best(question, 1)[0].passage is bond
    assert len(list(tmp_path.glob("minilm-*/*"))) == len(pages)


# -------------------------------------------------------------------------------------------------- explaining


@pytest.mark.parametrize("name", HINTS)
def test_every_error_of_the_contract_is_explained(assistant: Assistant, name: str) -> None:
    answer = assistant.answer(f"my transaction failed with {name}, why?")
    assert HINTS[name] in answer.text and answer.sources == (f"protocol.md P14 {name}",)


def test_revert_data_is_decoded(assistant: Assistant) -> None:
    selector = next(key for key, item in interface("IMarket").errors.items() if item["name"] == "TooFewSeats")
    data = selector + (5).to_bytes(32, "big") + (24).to_bytes(32, "big")
    assert "TooFewSeats(5, 24)" in assistant.answer(f"what is 0x{data.hex()}?").text


def test_codes_of_the_one_tree_are_explained(assistant: Assistant) -> None:
    answer = assistant.answer("error insufficient_funds, and now?")
    assert f"Exit code {errors.InsufficientFunds.exit_code}" in answer.text
    assert "tokens, gas or allowance" in answer.text


def test_a_job_is_looked_up_by_the_beginning_of_its_id(assistant: Assistant) -> None:
    answer = assistant.answer(f"how is {JOB[:12]} doing?")
    assert (answer.text, answer.sources) == ("state  scored", (f"job {JOB}",))
    assert "no job or transaction" in assistant.answer("and 0xdeadbeef99?").text


# ---------------------------------------------------------------------------------------------------- drafting


def test_digits_under_five_tokens_with_two_validators_worth_of_certainty(assistant: Assistant) -> None:
    answer = assistant.answer("train digits under 5 tokens, two validators' worth of certainty")
    assert answer.draft is not None
    job = parse(answer.draft.toml, Path("job.toml"))
    assert (job.name, job.pay.validators, job.pay.price) == ("digits", 3, 488 * CENT)
    assert answer.draft.spent <= 5 * ONE_TOKEN
    assert "2 agreeing validators are a majority of 3" in answer.text


@pytest.mark.parametrize(
    "sentence, expected",
    [
        ("train a regression, rmse below 3.5", {"metric": "rmse", "floor": "3.5", "target": "1.75"}),
        ("make me a classifier with at least 95% balanced accuracy", {"metric": "balanced_accuracy", "floor": "0.95"}),
        ("I want a model with auc above 0.9 within 2 hours", {"metric": "auc", "floor": "0.9", "seconds": "7200"}),
        ("train a model with 5 validators and 3 providers", {"validators": "5", "lanes": "3"}),
        ("train a model, four validators", {"validators": "5"}),
        ("train a network on a gpu with 16 GB and 8 cores", {"gpus": "1", "memory": "16", "cpus": "8"}),
        ("draft a job for at most 250 tokens", {"price": "244.49"}),
        ("train a model for 10 minutes", {"seconds": "600"}),
        ("train breast cancer classifier for 20 tokens, accuracy 0.97", {"floor": "0.97", "target": "0.985"}),
        ("train a classifier, 97 % accuracy or better", {"floor": "0.97", "metric": "accuracy"}),
        ("train a model, f1 macro of 0.8, target 0.95", {"floor": "0.8", "target": "0.95", "metric": "f1_macro"}),
        ("train a model, accuracy 3 validators, 0.9 auc", {"floor": "0.9", "validators": "3"}),
        ("train a model with rmse 3.5, target 3", {"floor": "3.5", "target": "3"}),
        ("train a model with log loss below 0.3", {"metric": "log_loss", "floor": "0.3", "target": "0.15"}),
    ],
)
def test_what_is_said_is_taken(sentence: str, expected: dict[str, str]) -> None:
    made = draft(sentence, CENT)
    assert made is not None
    assert {key: made.fields()[key] for key in expected} == expected
    parse(made.toml, Path("job.toml"))


def test_a_number_that_is_not_understood_is_said_to_be_left_out(assistant: Assistant) -> None:
    """A floor that was meant and not taken would pay in full for less."""
    told = assistant.answer("train a classifier for 20.5 tokens in 0.5 hours, hopefully 0.97 or so").text
    assert "0.97 was not understood" in told and told.count("not understood") == 1
    assert "not understood" not in assistant.answer("train a classifier, accuracy 0.97").text


@given(
    st.decimals("0.01", "100000", places=2),
    st.integers(1, 8),
    st.sampled_from((3, 5, 7)),
    st.integers(1, 10**19),
)
def test_a_budget_is_never_exceeded(budget: Decimal, lanes: int, validators: int, minimum_fee: int) -> None:
    made = draft(f"train a model for {budget} tokens with {lanes} lanes and {validators} validators", Wei(minimum_fee))
    if made is not None:
        assert made.spent <= budget * ONE_TOKEN
        assert (made.wish.lanes, made.wish.validators) == (lanes, validators)
        parse(made.toml, Path("job.toml"))


def test_a_budget_that_does_not_pay_the_seats_is_said_to_be_too_little(assistant: Assistant) -> None:
    answer = assistant.answer("train digits for 0.02 tokens")
    assert answer.draft is None and "do not even pay the fees of 3 seats" in answer.text


@pytest.mark.parametrize(
    "question", ["what does it cost to train a model?", "can I post a job without a wallet?", "jobs"]
)
def test_questions_about_jobs_are_no_orders(question: str) -> None:
    assert not wants_draft(question)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_whatever_is_written_gets_an_answer(question: str) -> None:
    answer = Assistant(Bm25(passages()[:5]), Rows()).answer(question)
    assert answer.text
