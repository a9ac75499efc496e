"""Every page as eyes see it: on a phone and a desk, by day and by night, without anything axe-core objects to.

Pictures are left in .cache/screenshots to be looked at.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from heldout.market.messages import hexed
from tests.browser import DESKTOP, PHONE, SHOTS, axe, chromium, visit
from tests.scenery import Play, account, small_market
from tests.service_app import listening

pytestmark = pytest.mark.integration
AXED = {("phone", "light"), ("desktop", "dark")}
"""What is judged does not depend on the other two."""


@pytest.fixture(scope="module")
def plays() -> dict[str, Play]:
    return small_market()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, plays: dict[str, Play]) -> Iterator[str]:
    with listening(tmp_path_factory.mktemp("seen"), plays["measured"].scenery) as url:
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
        "errors": "/errors",
        "account": f"/accounts/{requester}",
        "post": "/post",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "size"), [("phone", PHONE), ("desktop", DESKTOP)])
def test_every_page_fits_and_reads(
    browser: Browser, url: str, plays: dict[str, Play], scheme: str, device: str, size: dict[str, int]
) -> None:
    """No violation of axe-core, no error in the console, nothing wider than the screen."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport=size, color_scheme=scheme, base_url=url)  # type: ignore[arg-type]
    wrong: list[str] = []
    for name, path in pages(plays).items():
        page = context.new_page()
        page.on("console", lambda said, at=name: wrong.append(f"{at}: {said.text}") if said.type == "error" else None)
        page.goto(path)
        page.screenshot(path=SHOTS / f"{name}-{device}-{scheme}.png", full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        wrong += [f"{name}: {wide} px too wide"] if wide > 0 else []
        if (device, scheme) in AXED:
            wrong += [f"{name}: {each}" for each in axe(page)]
        page.close()
    context.close()
    assert wrong == []
