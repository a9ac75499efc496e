"""A whole job from a browser: posted by the wizard, trained and measured by real nodes, appealed, paid, withdrawn."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from heldout.market.lifecycle import Outcome, State
from heldout.market.terms import JobId
from tests.browser import DESKTOP, SHOTS, TestWallet, axe, chromium
from tests.e2e.town import GOOD_ENOUGH, Kept, Town, check_ended, heldout

pytestmark = [pytest.mark.e2e, pytest.mark.docker]
_ANSWERS = {
    "Command": "python /in/task/baseline.py",
    "Memory": "512 MiB",
    "Disk": "64 MiB",
    "Time": "60",
    "Floor": "0.5",
    "Target": "0.9",
    "Price": "100",
    "Bids": "20 s",
    "Work": "80 s",
    "Release": "10 s",
    "Commit": "45 s",
    "Reveal": "30 s",
    "Challenge": "60 s",
}


def step(page: Page, number: int, folder: Path) -> set[str]:
    """Answer one step of the wizard, and go on; which labels were answered."""
    filled: set[str] = set()
    section = page.locator("[data-step]").nth(number)
    if number == 0:
        section.get_by_label("Name", exact=True).fill("from a browser")
        scripts = [folder / name for name in ("baseline.py", "train.py")]
        section.get_by_label("Files").set_input_files(scripts)
        section.get_by_label("Model graph").set_input_files(folder / "graph.onnx")
    if number == 1:
        section.get_by_label("Data files").set_input_files(sorted((folder / "data").glob("*.safetensors")))
        expect(section.get_by_role("status")).to_contain_text("rows of")
        for box in section.get_by_role("checkbox").all():
            box.check()
    for label, value in _ANSWERS.items():
        field = section.get_by_label(label, exact=True)
        if field.count():
            field.fill(value)
            filled.add(label)
    page.screenshot(path=SHOTS / f"post-step-{number + 1}-desktop-light.png", full_page=True)
    assert axe(page) == []
    page.get_by_role("button", name="Next", exact=True).click()
    return filled


def dry_run(town: Town, folder: Path) -> list[str]:
    """What the command line says of the same job, without the lines about this moment's gas and clock."""
    text = (folder / "job.toml").read_text()
    assert "price = 100" in text
    for command in ("data seal", "job post --dry-run"):
        said = heldout([*command.split(), str(folder), *town.devnet.command("", home="requester")[4:]]).stdout
    return steady(said.splitlines())


def steady(lines: list[str]) -> list[str]:
    return [line for line in lines if re.match(r"You escrow|  \S|Deadlines|Market", line)]


def test_a_job_is_posted_appealed_paid_and_withdrawn_from_a_browser(town: Town) -> None:
    """Threats 75 and 76: every key stays on this side of the page; the words are the command line's."""
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
        answered = set().union(*(step(page, number, folder) for number in range(4)))
        assert answered == set(_ANSWERS)
        job, planned = sign(town, page)
        assert planned == dry_run(town, folder)
        assert not [body for body in sent if "heldout-lent" in body], "what was lent leaves the page"
        page.goto(f"/jobs/{job}")
        appeal(town, page, job)
        ended = town.settle(job)
        check_ended(town, ended, Outcome.MEASURED)
        assert ended.round == 2
        assert ended.lanes[0].payout > 0
        expect(page.locator(".badge").first).to_have_text(re.compile("settled"))
        page.screenshot(path=SHOTS / "job-from-browser-desktop-light.png", full_page=True)
        withdraw(town, page, wallet)
        context.close()
    assert town.fetch(town.requester(), ended)


def sign(town: Town, page: Page) -> tuple[JobId, list[str]]:
    """The last step: lend, seal, upload, read, post."""
    command = page.locator("#lend code").inner_text().split()
    assert command[:3] == ["heldout", "requester", "lend"]
    as_requester = town.devnet.command("", home="requester")[4:]
    page.get_by_label("The line it prints").fill(heldout([*command[1:], *as_requester]).stdout.strip())
    page.get_by_role("button", name="Use these keys").click()
    said = page.get_by_role("status").last
    expect(said).to_contain_text("Keys are here.")
    page.get_by_role("button", name="Seal and upload").click()
    expect(said).to_contain_text("Next: the plan.", timeout=30_000)
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator("#plan")).to_contain_text("you can never pay more than this", timeout=30_000)
    planned = page.locator("#plan").inner_text().splitlines()
    page.screenshot(path=SHOTS / "post-step-5-desktop-light.png", full_page=True)
    assert axe(page) == []
    page.get_by_role("button", name="Post the job").click()
    while not page.get_by_role("link", name="See the job").count():
        go_on = page.get_by_role("button", name="Continue in the wallet")
        if go_on.count():
            page.screenshot(path=SHOTS / "post-preview-desktop-light.png")
            go_on.click()
        page.wait_for_timeout(200)
    address = page.get_by_role("link", name="See the job").get_attribute("href") or ""
    return JobId(address.rpartition("/")[2]), steady(planned)


def appeal(town: Town, page: Page, job: JobId) -> None:
    town.until_state(job, State.SCORED)
    page.get_by_role("button", name="Appeal").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Locks a bond of")
    page.screenshot(path=SHOTS / "appeal-desktop-light.png")
    dialog.get_by_role("button", name="Continue in the wallet").click()
    expect(page.get_by_role("status").last).to_contain_text("Done: appeal")
    town.until(job, "the second round", lambda state: state.round == 2)


def withdraw(town: Town, page: Page, wallet: TestWallet) -> None:
    free = town.chain.free(wallet.account.address)
    page.goto(f"/accounts/{wallet.account.address}")
    form = page.locator("form.act", has=page.get_by_role("heading", name="Withdraw", exact=True))
    form.get_by_label("Tokens").fill("1")
    form.get_by_role("button").click()
    page.get_by_role("button", name="Continue in the wallet").click()
    expect(page.get_by_role("status").last).to_contain_text("Withdrew 1.00 tokens.")
    assert free - town.chain.free(wallet.account.address) == 10**18
