"""P7.4: events alone tell who asked, who trained, who measured, what it cost and what it was made of."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from heldout.market.errors import BadInput
from heldout.market.lifecycle import ChainEvent, Outcome
from heldout.market.messages import NO_DATA, hexed
from heldout.market.money import BasisPoints, Wei
from heldout.market.valuechain import Artifact, Entry, Parent, ValueChain, fold
from heldout.market.valuechain.drawing import LETTER, PADDING, WIDTH, draw, short
from heldout.market.valuechain.words import as_json, basis, royalty, tree
from tests.scenery import Play, Scenery, account

VECTOR = Path(__file__).resolve().parents[1] / "vectors" / "valuechain.json"
WEIGHTS = bytes(range(32))
SEATS = (0, 3, 6)


def settled(job: Play, *scores: int) -> Play:
    job.accept(*((f"provider {lane}", 80) for lane in range(len(scores)))).submit().commit(*SEATS)
    return job.reveal(list(scores), list(scores), [*scores[:-1], scores[-1] - 1]).settle(*scores)


def claim(scene: Scenery, job: Play, lane: int = 0) -> None:
    artifact = job.artifact_of(lane)
    owner = job.terms.requester
    scene.tell("Claimed", artifact=artifact, job=bytes.fromhex(job.id[2:]), owner=owner, weightsHash=WEIGHTS)


@pytest.fixture
def scene() -> Scenery:
    scene = Scenery()
    scene.stake(8)
    return scene


@pytest.fixture
def generations(scene: Scenery) -> tuple[Play, Play]:
    """A parent, claimed and with a suggestion of 5 %, and a child whose terms pay it 3 %."""
    parent = settled(scene.job("parent"), 960_000)
    claim(scene, parent)
    scene.tell("RoyaltySuggested", artifact=parent.artifact_of(0), owner=parent.terms.requester, bps=500)
    child = settled(scene.job("child", parents=(parent.as_parent(0, 300),)), 980_000)
    return parent, child


def test_one_artifact_tells_its_whole_story(scene: Scenery) -> None:
    job = settled(scene.job("one"), 960_000)
    (made,) = fold(scene.events).artifacts.values()
    assert made.id == hexed(job.artifact_of(0))
    assert (made.requester, made.maker, made.owner) == (job.terms.requester, job.providers[0], job.terms.requester)
    assert (made.metric, made.score, made.outcome, made.measured) == ("accuracy", 960_000, Outcome.MEASURED, True)
    assert made.fees == 3 * job.terms.fee and made.payout > 0 and made.price == job.prices[0]
    assert [(each.seat, each.value) for each in made.measurements] == [(0, 960_000), (3, 960_000), (6, 959_999)]
    assert [each.owner for each in made.measurements] == [account(f"cold validator {n}") for n in range(3)]
    told = {event.tx for event in scene.events}
    assert {made.posted, made.submitted, made.settled, *(each.tx for each in made.measurements)} <= told
    assert len({made.posted, made.submitted, made.settled}) == 3 and made.entry is None


def test_a_lane_that_was_not_paid_made_nothing(scene: Scenery) -> None:
    job = settled(scene.job("two", lanes=2), 960_000, 100_000)
    assert list(fold(scene.events).artifacts) == [hexed(job.artifact_of(0))]


def test_a_seat_is_shown_under_the_owner_it_had_when_it_was_drawn(scene: Scenery) -> None:
    settled(scene.job("one"), 960_000)
    scene.tell("Staked", seat=0, cold=account("a later owner"), hot=account("hot"), wrapKey=bytes(32))
    (made,) = fold(scene.events).artifacts.values()
    assert made.measurements[0].owner == account("cold validator 0")


def test_the_deciding_round_is_the_one_that_is_told(scene: Scenery) -> None:
    job = scene.job("one").accept(("provider 0", 80)).submit().commit(*SEATS)
    job.reveal([940_000], [940_000], [940_000]).appeal().commit(*range(7))
    job.reveal(*[[960_000]] * 7).settle(960_000)
    (made,) = fold(scene.events).artifacts.values()
    assert made.round == 2 and {each.value for each in made.measurements} == {960_000}
    assert len(made.measurements) == 7


def test_the_registry_s_events_tell_owner_weights_and_suggestion(scene: Scenery) -> None:
    job = settled(scene.job("one"), 960_000)
    claim(scene, job)
    artifact, buyer = job.artifact_of(0), account("buyer")
    scene.tell("Offered", artifact=artifact, **{"from": job.terms.requester, "to": buyer})
    assert fold(scene.events).find(hexed(artifact)).owner == job.terms.requester, "an offer passes nothing on"
    scene.tell("Transferred", artifact=artifact, **{"from": job.terms.requester, "to": buyer})
    scene.tell("RoyaltySuggested", artifact=artifact, owner=buyer, bps=250)
    made = fold(scene.events).find(hexed(artifact))
    claimed = next(event.tx for event in scene.events if event.name == "Claimed")
    assert made.entry == Entry(buyer, WEIGHTS, claimed, BasisPoints(250))
    assert made.owner == buyer != made.requester


def test_what_the_registry_says_of_unknown_artifacts_is_passed_over(scene: Scenery) -> None:
    scene.tell("Transferred", artifact=bytes(32), **{"from": account("a"), "to": account("b")})
    scene.tell("RoyaltySuggested", artifact=bytes(32), owner=account("b"), bps=1)
    assert not fold(scene.events).artifacts


def test_royalties_are_a_part_of_the_payout_rounded_down(generations: tuple[Play, Play], scene: Scenery) -> None:
    """P7.3: out of the provider's payout, each parent's rounded down."""
    parent, child = generations
    made = fold(scene.events).find(hexed(child.artifact_of(0)))
    (named,) = made.parents
    assert (named.artifact, named.payee, named.bps) == (hexed(parent.artifact_of(0)), parent.providers[0], 300)
    assert named.royalty == made.payout * 300 // 10_000 == made.royalties


def test_terms_and_suggestion_are_compared(generations: tuple[Play, Play], scene: Scenery) -> None:
    """P7.2: the suggestion binds nobody, and the difference is shown."""
    chain = fold(scene.events)
    made = chain.find(hexed(generations[1].artifact_of(0)))
    (parent,) = made.parents
    assert royalty(chain, made, parent).endswith("; 2 % less than the 5 % its owner suggests")
    assert "2.5 % more than the 5 %" in royalty(chain, made, replace(parent, bps=BasisPoints(750)))
    assert royalty(chain, made, replace(parent, bps=BasisPoints(500))).endswith("; as its owner suggests")
    assert royalty(chain, made, replace(parent, artifact="0x00")).endswith("; no suggestion is known")


def test_children_are_found_from_the_parent(generations: tuple[Play, Play], scene: Scenery) -> None:
    parent, child = generations
    chain = fold(scene.events)
    assert [each.id for each in chain.children(hexed(parent.artifact_of(0)))] == [hexed(child.artifact_of(0))]
    assert chain.children(hexed(child.artifact_of(0))) == ()


# ------------------------------------------------------------------------------------------------- graph


def plain(id_: str, *parents: str) -> Artifact:
    """An artifact of which only its parents matter."""
    scene = Scenery()
    settled(scene.job("plain", parents=()), 960_000)
    (made,) = fold(scene.events).artifacts.values()
    named = tuple(Parent(each, account("payee"), BasisPoints(100), Wei(1)) for each in parents)
    return replace(made, id=id_, parents=named)


def chain_of(*artifacts: Artifact) -> ValueChain:
    return ValueChain({made.id: made for made in artifacts})


def test_generations_put_everything_behind_the_last_that_names_it() -> None:
    """A diamond with a short cut: d is named by a and by b and c, so it stands behind those."""
    chain = chain_of(plain("a", "b", "c", "d"), plain("b", "d"), plain("c", "d", "far"), plain("d"))
    assert chain.generations("a") == [["a"], ["b", "c"], ["d", "far"]] or chain.generations("a") == [
        ["a"],
        ["c", "b"],
        ["far", "d"],
    ]


def test_a_chain_longer_than_the_stack_is_deep_is_walked() -> None:
    made = plain("x")
    named = [(Parent(str(n + 1), account("payee"), BasisPoints(1), Wei(0)),) for n in range(5_000)]
    chain = chain_of(*(replace(made, id=str(n), parents=parents) for n, parents in enumerate(named)))
    assert len(chain.generations("0")) == 5_001


def test_a_circle_that_no_chain_could_tell_is_survived() -> None:
    assert sum(map(len, chain_of(plain("a", "b"), plain("b", "a")).generations("a"))) == 2


def test_an_artifact_is_found_by_its_beginning() -> None:
    chain = chain_of(plain("0xab11"), plain("0xab22"))
    assert chain.find("0xAB1").id == "0xab11"
    for beginning, says in (("0xab", "2 artifacts"), ("0xcc", "no artifact"), ("ab", "no artifact")):
        with pytest.raises(BadInput, match=says) as refused:
            chain.find(beginning)
        assert refused.value.code == "no_such_artifact"


# ------------------------------------------------------------------------------------------- words and drawing


def read_values(raw: Any) -> Any:
    """What JSON cannot say: bytes are `{"hex": …}`."""
    if isinstance(raw, dict):
        return bytes.fromhex(raw["hex"]) if set(raw) == {"hex"} else {k: read_values(v) for k, v in raw.items()}
    return [read_values(each) for each in raw] if isinstance(raw, list) else raw


def test_the_vector_s_events_become_its_tree_and_its_json() -> None:
    """One story, for whoever folds events elsewhere: a parent with a suggestion, and a child that pays it less."""
    vector = json.loads(VECTOR.read_text())
    chain = fold(ChainEvent(**read_values(event)) for event in vector["events"])
    assert tree(chain, vector["artifact"]) == vector["tree"]
    assert as_json(chain, vector["artifact"]) == vector["json"]


def test_what_was_told_is_only_named_again() -> None:
    lines = tree(chain_of(plain("0xa", "0xb", "0xc"), plain("0xb", "0xd"), plain("0xc", "0xd"), plain("0xd")), "0xa")
    assert sum(line.endswith("0xd  (see above)") for line in lines) == 1
    assert sum("asked" in line for line in lines) == 4


def test_how_a_score_came_about_is_told() -> None:
    made = plain("a")
    assert basis(made) == "measured by a committee in round 1"
    assert "measured by nobody" in basis(replace(made, outcome=Outcome.AGREED))
    assert "never measured" in basis(replace(made, score=NO_DATA))


def test_the_drawing_is_one_sound_file_that_carries_every_hash_whole(
    generations: tuple[Play, Play], scene: Scenery
) -> None:
    chain, artifact = fold(scene.events), hexed(generations[1].artifact_of(0))
    svg = draw(chain, artifact)
    root = ElementTree.fromstring(svg)
    titles = " ".join(node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}title"))
    for made in chain.artifacts.values():
        hashes = (made.id, made.requester, made.maker, made.posted, made.submitted, made.settled, hexed(made.task))
        assert all(hash_ in titles for hash_ in (*hashes, *(each.tx for each in made.measurements)))
        assert short(made.id) in svg
    assert "2 % less than the 5 % its owner suggests" in titles
    assert "prefers-color-scheme:dark" in svg
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", ""), "nothing is fetched"


def test_no_text_of_a_drawing_leaves_its_card() -> None:
    rich = replace(plain("0xa"), payout=Wei(2**96 - 1), fees=Wei(2**96 - 1))
    rows = re.findall(r'<text class="vc-(?:text|head)" x="(\d+)" y="\d+">([^<]*)<title>', draw(chain_of(rich), "0xa"))
    assert len(rows) > 8 and any(text.endswith("…") for _, text in rows)
    assert all(int(start) + LETTER * len(text) <= WIDTH - PADDING for start, text in rows)


def test_cards_of_a_drawing_overlap_nowhere_and_stay_inside() -> None:
    known = (plain("0xa", "0xb", "0xc", "0xd"), plain("0xb", "0xd"), plain("0xc", "0xe"), plain("0xd"))
    svg = draw(chain_of(*known), "0xa")
    root = ElementTree.fromstring(svg)
    boxes = []
    for group in root.findall("{http://www.w3.org/2000/svg}g[@transform]"):
        x, y = map(int, group.attrib["transform"][len("translate(") : -1].split())
        rect = group.find("{http://www.w3.org/2000/svg}rect")
        assert rect is not None
        boxes.append((x, y, x + int(rect.attrib["width"]), y + int(rect.attrib["height"])))
    width, height = int(root.attrib["width"]), int(root.attrib["height"])
    assert len(boxes) == 5 and all(min(a, b) >= 0 and c <= width and d <= height for a, b, c, d in boxes)
    pairs = [(p, q) for n, p in enumerate(boxes) for q in boxes[n + 1 :]]
    assert not any(p[0] < q[2] and q[0] < p[2] and p[1] < q[3] and q[1] < p[3] for p, q in pairs)
