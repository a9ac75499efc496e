"""A whole job from a browser: posted by the wizard, trained and measured by real nodes, appealed, paid, withdrawn."""

import re
from pathlib import Path

import pytest
from eth_account.signers.local import LocalAccount
from playwright.sync_api import Page, expect

from heldout.market.lifecycle import Outcome, State
from heldout.market.money import ONE_TOKEN
from heldout.market.terms import JobId
from tests import wizard
from tests.browser import DESKTOP, SHOTS, TestWallet, axe, chromium
from tests.e2e.town import GOOD_ENOUGH, Kept, Town, check_ended, heldout

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


def dry_run(town: Town, folder: Path) -> list[str]:
    """What the command line says of the same job."""
    as_requester = town.devnet.command(home="requester")[3:]
    for command in ("data seal", "job post --dry-run"):
        said = heldout([*command.split(), str(folder), *as_requester]).stdout
    return steady(said.splitlines())


def steady(lines: list[str]) -> list[str]:
    """A plan without the lines about this moment's gas, wallet and clock."""
    kept = r"You escrow|  \S|Account|Deadlines|Market|PUBLIC| {11}\S+ +[\d.]+ ([KMG]i)?B$"
    return [line for line in lines if re.match(kept, line)]


def test_a_job_is_posted_appealed_paid_and_withdrawn_from_a_browser(town: Town) -> None:
    """Threat 76: what was lent stays in the page, and the plan's words are the command line's."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    values = {**GOOD_ENOUGH, "bids": '"20 s"', "challenge": '"60 s"'}
    folder, network = town.folder("browser", **values), town.devnet.network
    wallet = TestWallet(town.devnet.keys("requester").account, town.devnet.anvil.rpc, network.chain_id)
    with chromium() as browser, Kept(town):
        context = browser.new_context(viewport=DESKTOP, base_url=network.service)  # type: ignore[arg-type]
        wallet.enter(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.post_data or ""))
        page.goto("/post")
        job = from_the_wizard(town, page, folder)
        assert not [body for body in sent if "heldout-lent" in body], "what was lent leaves the page"
        page.goto(f"/jobs/{job}")
        appeal(town, page, job, wallet)
        ended = town.settle(job)
        check_ended(town, ended, Outcome.MEASURED)
        assert ended.round == 2
        assert ended.lanes[0].payout > 0
        expect(page.locator(".badge").first).to_have_text(re.compile("settled"))
        expect(page.get_by_role("button", name="Appeal")).to_have_count(0)
        page.screenshot(path=SHOTS / "job-from-browser-desktop-light.png", full_page=True)
        withdraw(town, page, wallet)
        context.close()
    assert town.fetch(town.requester(), ended)


def from_the_wizard(town: Town, page: Page, folder: Path) -> JobId:
    """The posted job, after its plan was compared with the command line's of the same moment."""
    answered: set[str] = set()
    for number in range(4):
        answered |= wizard.answer(page, number, folder)
        page.screenshot(path=SHOTS / f"post-step-{number + 1}-desktop-light.png", full_page=True)
        assert axe(page) == []
        wizard.next_step(page)
    assert answered == set(wizard.ANSWERS)
    wizard.lend(town.devnet, page)
    expect(page.get_by_role("status").last).to_contain_text("Keys are here.")
    wizard.upload(page)
    planned = steady(wizard.plan(page))
    assert len(planned) == 11
    assert planned == dry_run(town, folder)
    page.screenshot(path=SHOTS / "post-step-5-desktop-light.png", full_page=True)
    assert axe(page) == []
    return JobId(wizard.post(page))


def appeal(town: Town, page: Page, job: JobId, wallet: TestWallet) -> None:
    """By a seat of the round, whichever place it has; the requester is offered the same."""
    state = town.until_state(job, State.SCORED)
    expect(page.get_by_role("button", name="Appeal")).to_have_count(1)
    requester, name = wallet.account, f"validator-{town.validator_of(state.rounds[0].seats[-1])}"
    town.devnet.deposit(name, 500 * ONE_TOKEN)
    become(page, wallet, town.devnet.keys(name).account)
    page.get_by_role("button", name="Appeal").click()
    expect(page.get_by_role("dialog")).to_contain_text("Locks a bond of")
    page.screenshot(path=SHOTS / "appeal-desktop-light.png")
    wizard.agree(page)
    expect(page.get_by_role("status").last).to_contain_text("Done: appeal")
    become(page, wallet, requester)
    town.until(job, "the second round", lambda state: state.round == 2)


def become(page: Page, wallet: TestWallet, account: LocalAccount) -> None:
    """The person in front of the wallet chooses another account."""
    wallet.account = account
    page.evaluate("address => window.__emit('accountsChanged', [address])", account.address)
    expect(page.locator("#wallet")).to_contain_text(account.address[:6])


def withdraw(town: Town, page: Page, wallet: TestWallet) -> None:
    free = town.chain.free(wallet.account.address)
    page.goto(f"/accounts/{wallet.account.address}")
    form = page.locator("form.act", has=page.get_by_role("heading", name="Withdraw", exact=True))
    form.get_by_label("Tokens").fill("1")
    form.get_by_role("button").click()
    wizard.agree(page)
    expect(page.get_by_role("status").last).to_contain_text("Withdrew 1.00 tokens.")
    assert free - town.chain.free(wallet.account.address) == 10**18
