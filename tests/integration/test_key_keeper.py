"""A job whose keys a stranger keeps: handed over by the wizard, released by letter, and answered for on the job's page.

Real are the chain, the store, the service, the keeper, the browser and its wallet; a test plays the provider.
"""

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Page, expect

from heldout.devnet.anvil import free_port
from heldout.devnet.devnet import Devnet
from heldout.market.lifecycle import REQUESTER, State
from heldout.market.mail import Mail
from heldout.market.messages import Kind, Letter, decode_answer
from heldout.market.sealing import envelope_context, open_envelope
from heldout.market.split import SEED_DELAY, Split, draw_split
from heldout.market.terms import JobId
from tests import wizard
from tests.browser import DESKTOP, SHOTS, TestWallet, axe, chromium
from tests.e2e.town import PlayedProvider, Town, eventually

pytestmark = pytest.mark.integration
SLOW = dict.fromkeys(("Bids", "Work", "Release", "Commit", "Reveal", "Challenge"), "1 h")
KEEPER = "provider-5"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A service that offers a keeper, and 24 seats; nobody runs `heldout requester run`."""
    with Devnet.up(tmp_path_factory.mktemp("kept") / "devnet") as devnet:
        for number in range(8):
            devnet.stake(number)
        town = Town(devnet, tmp_path_factory.mktemp("folders"))
        yield town
        town.close()


@pytest.fixture(scope="module")
def keeper(town: Town) -> str:
    """Its address, once the service lists it: one operator copies what the other's command prints."""
    devnet, listen = town.devnet, f"127.0.0.1:{free_port(0)}"
    devnet.keys(KEEPER)
    start_keeper(town, f"http://{listen}")
    (printed,) = re.findall(r"keeper: (\S+)", devnet.processes.log_tail("keeper", 50))
    service = devnet.network.service or ""
    devnet.processes.stop("service")
    words = ("--db", str(devnet.state / "service.db"), "--listen", urlsplit(service).netloc, "--keeper", printed)
    devnet.processes.start("service", devnet.command("market", "serve", *words))
    eventually(lambda: status(f"{service}/readyz") == 200, "the service is back")
    return f"http://{listen}"


def start_keeper(town: Town, url: str) -> None:
    service = town.devnet.network.service or ""
    words = ("requester", "keep", "--listen", urlsplit(url).netloc, "--allow-origin", service)
    town.devnet.processes.start("keeper", town.devnet.command(*words, home=KEEPER))
    nobodys = f"{url}/v1/answers/0x{'00' * 32}"
    eventually(lambda: status(nobodys) == 404, f"the keeper listens\n{town.devnet.processes.log_tail('keeper')}")


def status(url: str) -> int:
    try:
        return httpx2.get(url, trust_env=False).status_code
    except httpx2.HTTPError:
        return 0


def test_a_keeper_releases_keys_and_the_wallet_answers_a_demand(town: Town, keeper: str) -> None:
    """Threats 76 and 79."""
    network, keys = town.devnet.network, town.devnet.keys("requester")
    wallet = TestWallet(keys.account, town.devnet.anvil.rpc, network.chain_id)
    provider = town.played_provider(0)
    with chromium() as browser:
        context = browser.new_context(viewport=DESKTOP, base_url=network.service)  # type: ignore[arg-type]
        wallet.enter(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        sent: list[tuple[str, str]] = []
        page.on("request", lambda request: sent.append((request.url, request.post_data or "")))
        job = posted(town, page, keeper)
        assert {url for url, body in sent if "heldout-lent" in body} == {f"{keeper}/v1/keys"}
        assert wallet.asked.count("eth_sendTransaction") == 2, "permitted deposit and post"

        accept(town, page, provider, job)
        (letter,) = until_letters(town, provider.mail, job, Kind.TRAINING_KEYS)
        split = split_of(town, job)
        assert opened(provider, letter) == shard_keys(town, job, split.training)

        answer(town, page, provider, job)
        context.close()

    provider.call("submit", job, 0, b"\x01" * 32)
    town.until_state(job, State.COMMITTING)
    town.devnet.mine(SEED_DELAY + network.confirmations)
    seat = town.committee(job, 1)[0]
    hot = town.devnet.keys(f"validator-{town.validator_of(seat)}")
    letters = until_letters(town, Mail(network, town.chain, hot.account), job, Kind.HELD_OUT_KEYS)
    context_ = envelope_context(bytes.fromhex(job[2:]), Kind.HELD_OUT_KEYS, letters[0].sender, hot.address)
    held_out = open_envelope(hot.wrap_private, letters[0].bytes_of("envelope"), context_)
    assert held_out == shard_keys(town, job, split.held_out)
    provider.close()


def test_an_accounts_books_add_up_to_its_free_balance_on_chain(town: Town, keeper: str) -> None:
    """P1.4, of one address: deposits, stakes and jobs, as the CSV of its page has them."""
    town.until_indexed()
    for name in ("requester", "provider-0", "validator-0-cold"):
        address = town.devnet.keys(name).address
        answer = httpx2.get(f"{town.devnet.network.service}/accounts/{address}.csv", trust_env=False)
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        earned, spent, moved = (sum(Decimal(row[c] or 0) for row in rows) for c in ("earned", "spent", "moved"))
        assert rows and (earned - spent + moved) * 10**18 == town.chain.free(address)


def posted(town: Town, page: Page, keeper: str) -> JobId:
    """Through the wizard, with no key ring's daemon anywhere."""
    page.goto("/post")
    folder = town.folder("kept")
    for number in range(4):
        wizard.answer(page, number, folder, {**wizard.ANSWERS, **SLOW})
        wizard.next_step(page)
    page.get_by_label("A keeper that this service offers").check()
    trusted = page.locator('[data-kept-by="keeper"]').first
    for word in ("read all of your data", "withhold keys", "spend nothing", "cannot accept bids", "only your wallet"):
        expect(trusted).to_contain_text(word)
    expect(page.locator("#lend")).to_contain_text("--elsewhere")
    wizard.lend(town.devnet, page)
    expect(page.get_by_role("status").last).to_contain_text("Keys are here.")
    page.screenshot(path=SHOTS / "post-keeper-desktop-light.png", full_page=True)
    assert axe(page) == []
    town.devnet.processes.stop("keeper")
    page.get_by_role("button", name="Seal and upload").click()
    expect(page.get_by_role("status").last).to_contain_text("The keeper did not take the keys", timeout=60_000)
    page.get_by_role("button", name="Show the plan").click()
    (
        expect(page.get_by_role("status").last).to_contain_text("Nothing is sealed yet"),
        "nothing is posted that nobody keeps",
    )
    start_keeper(town, keeper)
    wizard.upload(page)
    wizard.plan(page)
    return JobId(wizard.post(page))


def accept(town: Town, page: Page, provider: PlayedProvider, job: JobId) -> None:
    provider.bid(job)
    town.until_indexed()
    page.goto(f"/jobs/{job}")
    page.get_by_role("button", name="Accept").first.click()
    wizard.agree(page)
    expect(page.get_by_role("status").last).to_contain_text("Done: accept this bid")
    town.until_state(job, State.RUNNING)
    town.devnet.mine(SEED_DELAY + town.devnet.network.confirmations)


def until_letters(town: Town, mail: Mail, job: JobId, kind: Kind) -> list[Letter]:
    found: list[Letter] = []

    def came() -> bool:
        found.extend(letter for letter in mail.fetch(job) if letter.kind is kind)
        return bool(found)

    eventually(came, f"{kind}\n{town.devnet.processes.log_tail('keeper')}")
    return found


def opened(provider: PlayedProvider, letter: Letter) -> bytes:
    job, requester = bytes.fromhex(letter.job[2:]), provider.town.devnet.keys("requester").address
    assert letter.sender == requester, "whoever carries it, it is the requester's"
    context = envelope_context(job, letter.kind, requester, provider.keys.address)
    return open_envelope(provider.keys.wrap_private, letter.bytes_of("envelope"), context)


def split_of(town: Town, job: JobId) -> Split:
    state = town.job(job)
    assert state.accept_block is not None
    seed = bytes.fromhex(town.chain.block(state.accept_block + SEED_DELAY).hash[2:])
    return draw_split(seed, bytes.fromhex(job[2:]), state.terms.shards, state.terms.heldOut)


def shard_keys(town: Town, job: JobId, shards: tuple[int, ...]) -> bytes:
    """As the requester's ring derives them: it may take over at any time."""
    salt = town.job(job).terms.salt
    return b"".join(town.devnet.keys("requester").shard_key(salt, shard) for shard in shards)


def answer(town: Town, page: Page, provider: PlayedProvider, job: JobId) -> None:
    """A provider demands on chain what it has already: the keeper cannot answer that, the wallet can."""
    provider.call("demand", town.job(job).terms.as_tuple(), REQUESTER, 0)
    town.until_indexed()
    page.goto(f"/jobs/{job}")
    page.get_by_role("button", name="Answer the demand").click()
    expect(page.get_by_role("dialog")).to_contain_text("answer, as it will be signed")
    page.screenshot(path=SHOTS / "answer-desktop-light.png")
    wizard.agree(page)
    expect(page.get_by_role("status").last).to_contain_text("Done: answer the demand")
    state = town.until(job, "the answer", lambda job: REQUESTER not in job.pending)
    (letter,) = decode_answer(state.answers[-1][3])
    assert opened(provider, letter) == shard_keys(town, job, split_of(town, job).training)
