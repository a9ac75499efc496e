"""`heldout image …`: make, list and check the images that jobs run in."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heldout.market.console import Command, emit, run_table, table
from heldout.market.errors import BadInput

if TYPE_CHECKING:
    from heldout.market.sandbox.engine import Engine

_HERE: Final = "heldout.market.sandbox.image.cli"
COMMANDS: Final = {
    "build": Command(
        "make an image from a Dockerfile, or one that ships, and print its id", f"{_HERE}:build", "provider"
    ),
    "list": Command("images here that a job can name, with what speaks against others", f"{_HERE}:list_", "provider"),
    "verify": Command("try an image, or an archive of one, as a provider would", f"{_HERE}:verify", "provider"),
}


def main(argv: Sequence[str]) -> int:
    """Run one command line, without the words `heldout image`. Raises HeldoutError."""
    return run_table("heldout image", "images for jobs", COMMANDS, argv)


def build_arguments(parser: argparse.ArgumentParser) -> None:
    from heldout.market.sandbox.image.build import FLAVOURS

    parser.add_argument("folder", nargs="?", type=Path, help="a folder with a Dockerfile")
    parser.add_argument("--shipped", choices=FLAVOURS, help="one of the images that ship, instead of a folder")
    parser.add_argument("--base", default="", metavar="IMAGE", help="what FROM ${BASE_IMAGE} means; pin it by @sha256")
    parser.add_argument("--index", default="", metavar="URL", help="with --shipped: a package index besides pip's own")
    parser.add_argument("--archive", type=Path, metavar="FILE", help="also write it as an archive, for the store")


def build(args: argparse.Namespace) -> int:
    """Make an image without network access, check that a provider would run it, and print the id that a job names."""
    from heldout.market.sandbox.engine import Engine
    from heldout.market.sandbox.image.build import build as build_shipped
    from heldout.market.sandbox.image.build import build_folder

    if bool(args.folder) == bool(args.shipped):
        raise BadInput(
            "name a folder or --shipped, one of the two", hint="see `heldout image build --help`", code="usage"
        )
    if args.shipped:
        (image,) = build_shipped(base=args.base, flavour=args.shipped, index=args.index).values()
    else:
        image = build_folder(args.folder, args.base)
    engine = Engine("image")
    found = engine.image(image)
    if args.archive:
        engine.save(image, args.archive)
    platform = f"{found['Os']}/{found['Architecture']}"
    value = {"image": image, "platform": platform, "bytes": found["Size"]}
    emit(args, value, image, f'in job.toml: image = {{ "{platform}" = "{image}" }}')
    return 0


def list_(args: argparse.Namespace) -> int:
    """Images on this machine by the id that a job names."""
    from heldout.market.sandbox.engine import Engine

    rows = list(_listed(Engine("image")))
    values = [dict(zip(("image", "platform", "bytes", "names", "refused"), row, strict=True)) for row in rows]
    shown = [(row[0], row[1], f"{int(row[2]) >> 20:,} MiB", row[3], row[4]) for row in rows]
    emit(args, values, *table(("image", "platform", "size", "names here", "refused because"), shown))
    return 0


def _listed(engine: "Engine") -> Iterator[tuple[str, str, str, str, str]]:
    from heldout.market.sandbox.errors import ImageRefused

    for found in engine.images():
        try:
            engine.image(found["Id"])
            refused = ""
        except ImageRefused as problem:
            refused = problem.message
        names = ", ".join(found.get("RepoTags") or ())
        yield found["Id"], f"{found['Os']}/{found['Architecture']}", str(found["Size"]), names, refused


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", help="its id, sha256:…")
    parser.add_argument(
        "--archive", type=Path, metavar="FILE", help="load it from this archive first, if it is no other"
    )
    parser.add_argument("--runner", choices=("docker", "podman"), default="docker")


def verify(args: argparse.Namespace) -> int:
    """Check an image as a provider does before a job runs in it, and start Python in it under the full profile."""
    from heldout.market.sandbox.image.trial import try_image

    said, seconds = try_image(args.image, args.archive, args.runner)
    emit(args, {"image": args.image, "says": said, "seconds": round(seconds, 3)}, f"ok  {said}, {seconds:.1f} s")
    return 0
