"""Answering the post-a-job wizard as a person does, for tests of its pages."""

from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import Page, expect

from heldout.devnet.devnet import Devnet
from tests.e2e.town import heldout

ANSWERS = {
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
IMAGE = "sha256:" + "ab" * 32
"""For a network that names none of its own, where nothing is run."""


def answer(page: Page, number: int, folder: Path, answers: Mapping[str, str] = ANSWERS) -> set[str]:
    """Answer one step (from 0) from a digits job folder; which labels of `answers` were answered."""
    section = page.locator("[data-step]").nth(number)
    if number == 0:
        section.get_by_label("Name", exact=True).fill("from a browser")
        section.get_by_label("Files").set_input_files([folder / "task" / name for name in ("baseline.py", "train.py")])
        section.get_by_label("Model graph").set_input_files(folder / "graph.onnx")
        if section.get_by_label("Image", exact=True).count():
            section.get_by_label("Image", exact=True).fill(IMAGE)
    if number == 1:
        section.get_by_label("Data files").set_input_files(sorted((folder / "data").glob("*.safetensors")))
        expect(section.get_by_role("status")).to_contain_text("rows of")
        for box in section.get_by_role("checkbox").all():
            box.check()
    there = {label for label in answers if section.get_by_label(label, exact=True).count()}
    for label in there:
        section.get_by_label(label, exact=True).fill(answers[label])
    return there


def next_step(page: Page) -> None:
    page.get_by_role("button", name="Next", exact=True).click()


def lend(devnet: Devnet, page: Page, *options: str, home: str = "requester") -> None:
    """Call the command that the page shows, as the owner of a key ring, and paste its line."""
    command = page.locator("#lend code").inner_text().split()
    assert command[:3] == ["heldout", "requester", "lend"]
    line = heldout([*command[1:], *options, *devnet.command(home=home)[3:]]).stdout.strip()
    page.get_by_label("The line it prints").fill(line)
    page.get_by_role("button", name="Use these keys").click()


def upload(page: Page) -> None:
    said = page.get_by_role("status").last
    page.get_by_role("button", name="Seal and upload").click()
    expect(said).to_contain_text("Next: the plan.", timeout=60_000)


def plan(page: Page) -> list[str]:
    """The lines of the plan."""
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator("#plan")).to_contain_text("you can never pay more than this", timeout=60_000)
    return page.locator("#plan").inner_text().splitlines()


def agree(page: Page) -> None:
    page.get_by_role("button", name="Continue in the wallet").click()


def post(page: Page) -> str:
    """Sign whatever is asked; the job's id."""
    page.get_by_role("button", name="Post the job").click()
    link = page.get_by_role("link", name="See the job")
    for _ in range(2):  # the permit, then both calls
        agree(page)
    expect(link).to_be_visible(timeout=60_000)
    return (link.get_attribute("href") or "").rpartition("/")[2]
