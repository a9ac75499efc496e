"""Every page as eyes see it: on a phone and a desk, by day and by night, without anything axe-core objects to.

Pictures are left in .cache/screenshots to be looked at.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from heldout.market.messages import hexed
from heldout.market.service.asking import wizard_address
from tests.browser import DESKTOP, PHONE, SHOTS, TestWallet, account_of, axe, chromium, visit
from tests.databases import database_of
from tests.every_page import call_for
from tests.languages import marked, speaking
from tests.scenery import Play, account, small_market
from tests.service_app import listening

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def plays() -> dict[str, Play]:
    return small_market()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, plays: dict[str, Play]) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("seen")
    with listening(folder, plays["measured"].scenery) as url:
        engine = database_of(folder / "service.db")
        call_for(engine, plays["measured"].terms)
        engine.dispose()
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def pages(plays: dict[str, Play]) -> dict[str, str]:
    """Every page by a name for its picture."""
    requester = plays["measured"].terms.requester
    shown = {name: f"/jobs/{plays[name].id}" for name in ("measured", "open", "running", "appealed")}
    return {
        "front": "/",
        "jobs": "/jobs",
        "none": "/jobs?metric=auc",
        **{f"job-{name}": path for name, path in shown.items()},
        "providers": "/providers",
        "provider": f"/providers/{account('ada')}",
        "validators": "/validators",
        "validator": f"/validators/{account('cold validator 1')}",
        "artifact": f"/artifacts/{hexed(plays['measured'].artifact_of(0))}",
        "network": "/network",
        "earn": "/earn",
        "errors": "/errors",
        "account": f"/accounts/{requester}",
        "post": "/post",
        "ask": "/ask?question=What+does+a+job+cost%3F",
        "privacy": "/privacy",
    }


@pytest.mark.parametrize(
    ("device", "scheme", "size"),
    [
        ("phone", "light", PHONE),
        ("desktop", "dark", DESKTOP),
        pytest.param("phone", "dark", PHONE, marks=pytest.mark.deep),
        pytest.param("desktop", "light", DESKTOP, marks=pytest.mark.deep),
    ],
)
def test_every_page_fits_and_reads(
    browser: Browser, url: str, plays: dict[str, Play], scheme: str, device: str, size: dict[str, int]
) -> None:
    """No violation of axe-core, no error in the console, nothing wider than the screen."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport=size, color_scheme=scheme, base_url=url)  # type: ignore[arg-type]
    wrong: list[str] = []
    for name, path in pages(plays).items():
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.goto(path)
        page.screenshot(path=SHOTS / f"{name}-{device}-{scheme}.png", full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        wrong += [f"{name}: {wide} px too wide"] if wide > 0 else []
        wrong += [f"{name}: {each}" for each in axe(page)]
        wrong += [f"{name}: {each}" for each in said]
        page.close()
    context.close()
    assert wrong == []


def test_a_second_language_is_one_file(browser: Browser, plays: dict[str, Play], tmp_path: Path) -> None:
    """Pages, scripts and wizard speak it, and nothing else was touched."""
    with speaking(tmp_path, marked()), listening(tmp_path, plays["measured"].scenery) as url:
        context = browser.new_context(viewport=DESKTOP, base_url=url)
        page = visit(context, "/post")
        assert page.locator("html").get_attribute("lang") == "xx"
        expect(page.get_by_role("heading", name="⟦Task: what providers run⟧")).to_be_visible()
        page.get_by_role("button", name="⟦Connect wallet⟧").click()
        expect(page.get_by_role("heading", name="⟦No wallet⟧")).to_be_visible()
        expect(page.get_by_role("button", name="⟦Close⟧")).to_be_visible()
        page = visit(context, "/jobs")
        expect(page.get_by_role("heading", name="⟦Jobs⟧")).to_be_visible()
        page.get_by_label("⟦State⟧").select_option(label="⟦running⟧")
        page.wait_for_url("**/jobs?state=running")
        expect(page.locator("tbody .badge").first).to_have_text("⟦running⟧")
        context.close()


HOSTILE = """"><img src=x onerror="window.ran=1"><script>window.ran=1</script>{{7*7}}\\u2028</pre>"""


def test_hostile_answers_stay_text_in_every_field_and_in_the_draft(browser: Browser, url: str) -> None:
    """Threat 73, in a browser: the wizard's fields, a draft that somebody left in storage, and the address."""
    context = browser.new_context(viewport=DESKTOP, base_url=url)  # type: ignore[arg-type]
    page = visit(context, f"/post?{urlencode({'task.command': HOSTILE})}")
    expect(page.get_by_label("Command")).to_have_value(HOSTILE)
    for field in page.locator("input[data-kind]").all():
        field.evaluate("(field, text) => { field.value = text; field.required = false; }", HOSTILE)
    page.evaluate("document.querySelectorAll('input[type=file]').forEach((field) => { field.required = false; })")
    page.locator("#job-name").dispatch_event("input")
    page.get_by_role("button", name="5. Review").click()
    expect(page.locator("#lend code")).to_contain_text("heldout requester lend")
    page.get_by_text("The same as job.toml").click()
    toml = page.locator("#toml").inner_text()
    assert tomllib.loads(toml)["job"]["name"] == HOSTILE, "what was written is what the file says"
    page.get_by_label("The line it prints").fill(HOSTILE)
    page.reload()
    expect(page.get_by_label("Name", exact=True)).to_have_value(HOSTILE)
    assert page.evaluate("window.ran") is None
    assert page.locator("main img").count() == 0
    context.close()


def test_a_wallets_hostile_name_stays_text(browser: Browser, url: str) -> None:
    """Threat 73: any extension announces itself as it likes."""
    context = browser.new_context(viewport=DESKTOP, base_url=url)  # type: ignore[arg-type]
    for number in range(2):
        wallet = TestWallet(account_of(bytes([number + 1]) * 32), None, 1, identity=f"hostile.{number}")  # type: ignore[arg-type]
        wallet.announce(context, HOSTILE[:50] + str(number))
    page = visit(context, "/")
    page.get_by_role("button", name="Connect wallet").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(HOSTILE[:50] + "1")).to_be_visible()
    assert axe(page) == []
    page.screenshot(path=SHOTS / "wallets-desktop-light.png")
    assert page.evaluate("window.ran") is None
    context.close()


def test_the_assistants_draft_opens_the_wizard_filled_in(browser: Browser, url: str) -> None:
    """The address that heldout.market.service.asking makes of a job.toml is one that the wizard reads."""
    context = browser.new_context(viewport=DESKTOP, base_url=url)  # type: ignore[arg-type]
    text = '[task]\ncommand = ["python", "/in/task/train it.py"]\n[score]\nmetric = "auc"\nfloor = 0.9\n'
    page = visit(context, wizard_address(text + '[pay]\nprice = "5"\n'))
    expect(page.get_by_label("Command")).to_have_value('"python" "/in/task/train it.py"')
    names = ["score.metric", "score.floor", "pay.price"]
    values = page.evaluate("(names) => names.map((name) => document.getElementsByName(name)[0].value)", names)
    assert values == ["auc", "0.9", "5"]
    assert page.goto("/post?draft=%00")
    expect(page.get_by_label("Command")).to_be_visible()
    context.close()


@pytest.mark.parametrize("width", [PHONE["width"], 900, 1270, DESKTOP["width"]])
def test_the_dock_covers_no_text_and_is_never_far(browser: Browser, url: str, width: int) -> None:
    """Beside the text where there is room, else below it, with a link on top."""
    context = browser.new_context(viewport={"width": width, "height": 800}, base_url=url)
    page = visit(context, "/jobs")
    dock, rows = page.locator(".dock").bounding_box(), page.locator("#rows").bounding_box()
    assert dock and rows
    assert dock["x"] >= rows["x"] + rows["width"] or dock["y"] >= rows["y"] + rows["height"]
    seen = dock["y"] + dock["height"] <= 800
    assert seen or page.locator("nav").get_by_role("link", name="Ask").is_visible()
    context.close()


@pytest.mark.parametrize("size", [PHONE, {"width": 900, "height": 700}, DESKTOP], ids=["phone", "tablet", "desktop"])
def test_the_dock_answers_in_place_beside_what_the_wallet_says(
    browser: Browser, url: str, size: dict[str, int]
) -> None:
    """The page stays, nothing goes wrong in its scripts, and neither of the two lies on the other."""
    context = browser.new_context(viewport=size, base_url=url)  # type: ignore[arg-type]
    wallet = TestWallet(account_of(b"\1" * 32), None, 1, refuses={"eth_requestAccounts"})  # type: ignore[arg-type]
    wallet.enter(context)
    page = context.new_page()
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.goto("/privacy")
    page.get_by_role("button", name="Connect wallet").click()
    expect(page.locator("#said p")).to_be_visible()
    dock = page.locator(".dock")
    dock.locator("summary").click()
    dock.get_by_role("textbox").fill("Train a classifier to 90 % accuracy for at most 20 tokens")
    dock.get_by_role("button").click()
    expect(dock.locator(".said")).to_contain_text("[pay]")
    page.screenshot(path=SHOTS / f"dock-{size['width']}.png")
    said, answered = page.locator("#said").bounding_box(), dock.bounding_box()
    assert said and answered
    assert said["y"] + said["height"] <= answered["y"] or said["x"] + said["width"] <= answered["x"]
    assert page.url == f"{url}/privacy" and axe(page) == [] and thrown == []
    dock.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Post a job")
    context.close()
