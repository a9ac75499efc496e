"""What an account is offered on a job's page, against a real chain: only what the contract would take from it now."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from heldout.devnet.devnet import Devnet
from heldout.market.lifecycle import Outcome, State
from heldout.market.money import ONE_TOKEN
from heldout.market.terms import JobId
from tests import wizard
from tests.browser import DESKTOP, PHONE, TestWallet, chromium
from tests.e2e.town import GOOD_ENOUGH, PlayedProvider, Town

pytestmark = pytest.mark.integration
Enter = Callable[..., Page]
SEATED = 8


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A market with seats and nobody at work: everything that happens is done by a test."""
    with Devnet.up(tmp_path_factory.mktemp("town")) as devnet:
        for number in range(SEATED):
            devnet.stake(number)
        town = Town(devnet, tmp_path_factory.mktemp("scratch"))
        yield town
        town.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def enter(browser: Browser, town: Town) -> Iterator[Enter]:
    """A page of a party that has its wallet connected."""
    contexts = []

    def make(name: str, path: str, **about: object) -> Page:
        account = town.devnet.keys(name).account
        town.devnet.fund(account.address)
        wallet = TestWallet(account, town.devnet.anvil.rpc, town.devnet.network.chain_id, **about)  # type: ignore[arg-type]
        context = browser.new_context(viewport=DESKTOP, base_url=town.devnet.network.service)  # type: ignore[arg-type]
        contexts.append(context)
        wallet.enter(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        town.until_indexed()
        page.goto(path)
        page.get_by_role("button", name="Connect wallet").click()
        expect(page.locator("#wallet")).to_contain_text(account.address[:6], timeout=20_000)
        return page

    yield make
    for context in contexts:
        context.close()


def posted(town: Town, name: str) -> JobId:
    """A job from the command line, on the service's pages already."""
    folder = town.folder(name, **GOOD_ENOUGH)
    text = (folder / "job.toml").read_text()
    (folder / "job.toml").write_text(text.replace("[task]\n", f'[task]\nimage = "{wizard.IMAGE}"\n'))
    client = town.requester()
    client.seal(folder)
    return client.post(client.draft(folder))


def press(page: Page, name: str, done: str) -> None:
    page.get_by_role("button", name=name).click(timeout=30_000)
    wizard.agree(page)
    expect(page.get_by_role("status").last).to_contain_text(done, timeout=30_000)


def test_the_wizard_posts_and_the_requester_takes_the_job_back(town: Town, enter: Enter) -> None:
    """The draft outlives a reload; another account's keys are refused; the escrow comes back whole."""
    folder, me = town.folder("wizard", **GOOD_ENOUGH), town.devnet.keys("requester").address
    page = enter("requester", "/post")
    before = town.chain.free(me) + town.chain.token_balance(me)
    for number in range(4):
        wizard.answer(page, number, folder)
        wizard.next_step(page)
    page.reload()
    expect(page.get_by_label("Command")).to_have_value(wizard.ANSWERS["Command"])
    for number in range(4):
        wizard.answer(page, number, folder)
        wizard.next_step(page)
    said = page.get_by_role("status").last
    page.get_by_role("button", name="Seal and upload").click()
    expect(said).to_contain_text("borrow keys first")
    town.devnet.keys("provider-0")
    wizard.lend(town.devnet, page, "--elsewhere", home="provider-0")
    expect(said).to_contain_text("These keys are of")
    wizard.lend(town.devnet, page, "--elsewhere")
    expect(said).to_contain_text("Keys are here.")
    wizard.upload(page)
    wizard.plan(page)
    job = JobId(wizard.post(page))
    assert town.job(job).state is State.OPEN
    page.get_by_role("link", name="See the job").click()
    press(page, "Take the job back", "Done: take the job back.")
    assert town.job(job).outcome is Outcome.CANCELLED
    assert town.chain.free(me) + town.chain.token_balance(me) == before


def test_a_bid_is_accepted_from_the_page_and_a_stranger_closes_what_nobody_answers(town: Town, enter: Enter) -> None:
    """P1.1: the move of a deadline is anyone's; before it, nothing is offered to a stranger."""
    job = posted(town, "accepted")
    provider = PlayedProvider(town, 1)
    provider.bid(job, ONE_TOKEN)
    page = enter("requester", f"/jobs/{job}")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    press(page, "Accept 1.00 of", "Done: accept this bid.")
    assert town.job(job).state is State.RUNNING
    assert town.job(job).lanes[0].provider == provider.keys.address
    provider.close()
    stranger = enter("provider-3", f"/jobs/{job}")
    expect(stranger.locator(".badge").first).to_have_text("running")
    expect(stranger.locator("#acts button")).to_have_count(0)
    town.pass_deadline(job)
    stranger.reload()
    press(stranger, "End this stage", "Done: end this stage")
    town.devnet.warp(1)  # a deadline that is now has passed with the next block
    press(stranger, "Settle: pay everybody", "Done: settle")
    assert town.job(job).outcome is Outcome.UNSUBMITTED
    expect(stranger.locator("#acts button")).to_have_count(0)


def test_a_job_that_nobody_bid_for_is_ended_by_anyone(town: Town, enter: Enter) -> None:
    job = posted(town, "nobody")
    town.pass_deadline(job)
    page = enter("provider-4", f"/jobs/{job}")
    press(page, "End it: nobody was accepted in time", "Done: end it")
    assert town.job(job).outcome is Outcome.EXPIRED
