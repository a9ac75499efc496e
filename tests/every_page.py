"""Every page of the service, as markets of many kinds fill it: for whoever reads all that pages say."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine, insert
from starlette.testclient import TestClient

from heldout.market.calling import CallForBids, call_letter
from heldout.market.keeping.offered import OfferedKeeper
from heldout.market.lifecycle import REQUESTER, Outcome, Purpose, State
from heldout.market.manifest import Manifest, Resources, TaskFile
from heldout.market.messages import BAD, MISSING, NO_DATA, pack_vote
from heldout.market.money import ONE_TOKEN, Ppm
from heldout.market.narration import BURNED
from heldout.market.service import database as db
from heldout.market.service.manifests import Manifests
from heldout.market.service.reported import Reported
from heldout.market.terms import METRICS, JobTerms, Timestamp, job_id
from tests.builders import digest
from tests.scenery import Play, Scenery, account, small_market
from tests.service_app import NETWORK, service

MANIFEST = Manifest(
    (TaskFile("train.py", "ab" * 32, 2048),),
    {"linux/amd64": "sha256:" + "cd" * 32},
    ("python3", "/in/task/train.py"),
    Resources(2, 1 << 30, 1 << 30, 0, 500),
    TaskFile("model.onnx", "ef" * 32, 70_000),
    "accuracy",
    "score-v1",
)
HOT = account("hot key of many")
_KEEPER = OfferedKeeper(account("keeper"), bytes(range(32)), "http://keeper.example")
_PAGES = (
    *("/", "/jobs", "/jobs.atom", "/providers", "/validators", "/network"),
    *("/earn", "/post", "/ask", "/privacy", "/errors"),
)
_QUESTIONS = ("train digits under 5 tokens, two validators' worth of certainty", "What is a lane?", "TooEarly")


@dataclass(frozen=True)
class Page:
    """`data` are the whole texts on it that somebody else wrote: a question, what an answer cites, an error's words."""

    path: str
    html: str
    data: frozenset[str] = frozenset()


def every_page(folder: Path) -> Iterator[Page]:
    """Of a busy market, of one where things went wrong, and of one where nothing has happened."""
    for name, made in (("busy", _busy), ("troubled", _troubled), ("empty", _empty)):
        (folder / name).mkdir()
        for page in made(folder / name):
            yield replace(page, path=f"{name} {page.path}")


def _busy(folder: Path) -> Iterator[Page]:
    plays = small_market()
    job, asked = plays["measured"], {"taskHash": MANIFEST.task_hash}
    scene = job.scenery
    finer = scene.job("described", **asked).accept(("ada", 60)).submit().commit(0, 5, 9)
    plays["described"] = finer.reveal(*[[970_000]] * 3).settle(970_000)
    built = scene.job("built", parents=(job.as_parent(0, 500),)).accept(("bea", 60)).submit().commit(1, 4, 7)
    plays["built"] = built.reveal(*[[980_000]] * 3).settle(980_000)
    plays |= {name: scene.job(name, metric=number, **asked) for name, number in METRICS.items()}
    for number in range(30):
        scene.job(f"one of {number}").accept((f"crowd {number}", 20))
        scene.tell("Staked", seat=100 + number, cold=account(f"{number}"), hot=HOT, wrapKey=bytes(32))
    network = replace(NETWORK, images=MANIFEST.image)
    with service(folder, scene, network, keepers=(_KEEPER,)) as (client, engine):
        Manifests(engine).keep(MANIFEST)
        call_for(engine, job.terms)
        reported = Reported(engine)
        reported.replace(job.id, 0, [{"epoch": number, "accuracy": 0.9 + number / 100} for number in range(8)])
        reported.replace(job.id, 1, [{"accuracy": 0.5}, {"accuracy": 0.8}])
        reported.replace(finer.id, 0, [{"step": 1, "loss": 0.5}])
        paths = [*_PAGES, *_of_jobs(plays.values()), *_of_people(client), *_artifacts(client)]
        paths += [f"/accounts/{finer.terms.requester}", f"/jobs?requester={account('ada')}&metric=auc"]
        paths += [f"/jobs?state=running&provider={account('ada')}", "/jobs.atom?state=open"]
        yield from _read(client, paths)
        questions = (*_QUESTIONS, job.id, plays["open"].id, scene.events[-1].tx)
        yield from _answers(client, questions)
        yield from _problems(client)


def call_for(engine: Engine, terms: JobTerms) -> None:
    """A job that is called for and not posted (P2.5)."""
    wanted, until = replace(terms, salt=digest("called")), Timestamp(2**33)
    letter = call_letter(CallForBids(job_id(wanted, NETWORK.chain_id, NETWORK.market), wanted, until), bytes(65))
    row = {"hash": "0" * 64, "job": letter.job, "kind": "call", "sender": letter.sender.lower()}
    with db.writing(engine).begin() as connection:
        row |= {"number": 1, "receiver": letter.receiver, "letter": letter.encode().decode()}
        connection.execute(insert(db.letters), row)
        called = {"number": 1, "job": letter.job, "requester": letter.sender.lower(), "until": until}
        connection.execute(insert(db.calls), called)


def _troubled(folder: Path) -> Iterator[Page]:
    """Every end that a job can come to, every code, demands, appeals, and seats that were slashed or have left."""
    scene = Scenery()
    scene.stake(8)
    troubles = _troubles(scene)
    scene.tell("Exiting", seat=4, withdrawableAt=scene.now + 90_000)
    scene.tell("Unstaked", seat=7, cold=account("cold validator 2"), amount=ONE_TOKEN)
    scene.mine()
    unnamed = scene.job("unnamed", metric=99)
    scene.mine(1_000)
    late = scene.job("late").accept(("ada", 60))
    with service(folder, scene) as (client, _):
        paths = [*_PAGES, *_of_jobs([*troubles, unnamed, late]), *_of_people(client), *_artifacts(client)]
        yield from _read(client, paths)


def _empty(folder: Path) -> Iterator[Page]:
    with service(folder, Scenery()) as (client, _):
        paths = [*_PAGES, "/jobs?metric=auc", f"/accounts/{account('nobody')}"]
        yield from _read(client, paths)


# ---------------------------------------------------------------------------------------------------- what ended how


def _tell(play: Play, name: str, **args: object) -> None:
    play.scenery.tell(name, job=bytes.fromhex(play.id[2:]), **args)


def _accepted(scene: Scenery, name: str) -> Play:
    return scene.job(name, lanes=2).accept((name, 70), ("eve", 60))


def _scored(scene: Scenery, name: str, score: int) -> Play:
    play = _accepted(scene, name).submit().commit(0, 5, 9)
    return play.reveal(*[[score, 960_000]] * 3).settle(score, 960_000)


def _unlike(scene: Scenery) -> Play:
    """A metric that is better when it is lower, seats of one owner, and one of them silent."""
    terms = {"metric": METRICS["rmse"], "floor": Ppm(300_000), "target": Ppm(120_000)}
    play = scene.job("unlike", **terms).accept(("ada", 80)).submit().commit(0, 1, 2)
    play.reveal([200_000], [200_000])
    _tell(play, "Slashed", seat=2, amount=ONE_TOKEN)
    return play


def _appealed(scene: Scenery) -> Play:
    """Two seats of the second round have opened their votes, and differ."""
    play = _accepted(scene, "appealed").submit().commit(0, 5, 9).reveal(*[[940_000, 960_000]] * 3).appeal()
    play.commit(*range(10, 17))
    for place, vote in enumerate((940_000, 700_000)):
        about = {"vote": pack_vote([vote, vote]), "evidence": digest("rows")}
        _tell(play, "Revealed", seat=10 + place, round=2, place=place, **about)
    return play


def _demanded(scene: Scenery, name: str = "demanded") -> Play:
    play = _accepted(scene, name)
    for party in (REQUESTER, 1):
        _tell(play, "Demanded", party=party, by=account(name), deadline=scene.now + 300)
    return play


def _unanswered(scene: Scenery) -> Play:
    play = _demanded(scene, "unanswered")
    _tell(play, "Answered", party=1, envelopes=b"[]", deadline=scene.now + 300)
    _tell(play, "Unanswered", party=REQUESTER)
    _tell(play, "Moved", state=int(State.SCORED), round=0, deadline=scene.now + 600)
    for outcome, keys in ((Purpose.BOND, "bea"), (Purpose.BURNED, BURNED), (Purpose.ROYALTY, "cyd")):
        to = keys if keys == BURNED else account(keys)
        _tell(play, "Paid", to=to, purpose=int(outcome), amount=ONE_TOKEN)
    return _over(play, Outcome.TRAINING_KEYS_WITHHELD)


def _reseeded(scene: Scenery) -> Play:
    play = _accepted(scene, "reseeded").submit(0)
    _tell(play, "Reseeded", round=1, seedBlock=scene.block + 4)
    return play


def _over(play: Play, outcome: Outcome) -> Play:
    """No lane of it was settled."""
    _tell(play, "Settled", outcome=int(outcome), result=bytes(32))
    play.scenery.mine()
    return play


def _troubles(scene: Scenery) -> list[Play]:
    codes = {"bad": BAD, "missing": MISSING, "no data": NO_DATA, "below": 100_000}
    lone = scene.job("alone").accept(("ada", 80)).submit().commit(0, 1, 2).reveal(*[[960_000]] * 3).settle(960_000)
    agreed = _accepted(scene, "agreed").submit().agree((940_000, 30 * ONE_TOKEN), (0, 0))
    made = {"artifact": digest("agreed"), "maker": agreed.providers[0], "owner": agreed.terms.requester, "lane": 0}
    about = {"taskHash": agreed.terms.taskHash, "dataRoot": agreed.terms.dataRoot, "word": digest("word")}
    _tell(agreed, "Artifact", **made, **about, score=940_000, measured=False)
    ends = [_over(_accepted(scene, f"ended {outcome}").submit(0), outcome) for outcome in Outcome if outcome > 2]
    at_work = [_unlike(scene), _appealed(scene), _demanded(scene), _unanswered(scene), _reseeded(scene)]
    return [lone, agreed, *(_scored(scene, name, code) for name, code in codes.items()), *ends, *at_work]


# --------------------------------------------------------------------------------------------------- where pages are


def _of_people(client: TestClient) -> list[str]:
    """Every provider and validator of the lists' first pages, with their accounts and the lists' second pages."""
    providers = client.get("/v1/providers?limit=8").json()["providers"]
    validators = client.get("/v1/validators?limit=8").json()["validators"]
    paths = [f"/providers/{row['provider']}" for row in providers]
    paths += [f"/validators/{row['cold']}" for row in validators]
    return paths + [f"/accounts/{path.rpartition('/')[2]}" for path in paths]


def _artifacts(client: TestClient) -> list[str]:
    return [f"/artifacts/{row['artifact']}" for row in client.get("/v1/artifacts?limit=30").json()["artifacts"]]


def _of_jobs(plays: Iterable[Play]) -> list[str]:
    return [f"/jobs/{play.id}" for play in plays]


def _read(client: TestClient, paths: Iterable[str]) -> Iterator[Page]:
    for path in paths:
        answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, f"{path}: {answer.text}"
        yield Page(path, answer.text)


def _answers(client: TestClient, questions: Iterable[str]) -> Iterator[Page]:
    for question in questions:
        answer = client.get("/v1/ask", params={"question": question})
        assert answer.status_code == 200, answer.text
        cited = answer.json()["sources"]
        page = client.get("/ask", params={"question": question})
        yield Page(f"/ask {question}", page.text, frozenset((question, *cited)))


def _problems(client: TestClient) -> Iterator[Page]:
    for path in ("/nowhere", f"/jobs/0x{'00' * 32}", "/jobs/0x12", "/jobs?least=x", "/providers/0x12"):
        answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code in (400, 404, 422), f"{path}: {answer.text}"
        told = client.get(path).json()
        yield Page(path, answer.text, frozenset((told["detail"], told["hint"])))
