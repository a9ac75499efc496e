"""Templates and static files, read once; every page leaves here with the same strict headers.

Nothing inline and nothing foreign runs: scripts, styles and connections are this server's own. Values are escaped by
the templates always, and a name that a template lacks is an error, not an empty place.
"""

import json
import mimetypes
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import Response
from fastapi.responses import HTMLResponse
from jinja2 import PackageLoader, StrictUndefined

from heldout.market.keeping.offered import OfferedKeeper
from heldout.market.service.pages.translating import SpeakingEnvironment
from heldout.market.service.pages.words import CODE_MEANINGS, FILTERS
from heldout.market.settings import Network
from heldout.market.texts import ENGLISH, catalogue, spoken, text

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_FOREVER: Final = "public, max-age=31536000, immutable"
_TEXTS: Final = "texts.json"
_PACKAGE: Final = "heldout.market.service"


def connecting_policy(urls: Iterable[str]) -> str:
    """The policy of a page that uploads, or talks to keepers: with these, and nobody else."""
    return POLICY.replace("connect-src 'self'", " ".join(("connect-src 'self'", *map(_origin, urls))))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _for_wallets(network: Network, keepers: Sequence[OfferedKeeper]) -> str:
    """What the wallet's script has to know, as JSON."""
    about = {"name": network.name, "chainId": network.chain_id, "market": network.market, "token": network.token}
    told = [{"address": keeper.address, "wrapKey": keeper.wrap_key.hex(), "url": keeper.url} for keeper in keepers]
    return json.dumps({**about, "stores": network.stores, "images": network.images, "keepers": told})


def templates() -> SpeakingEnvironment:
    """All of them, for reading and for extraction."""
    made = SpeakingEnvironment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(FILTERS)
    return made


class Site:
    """`context` of every page: the network, and where the static files are."""

    def __init__(self, network: Network, keepers: Sequence[OfferedKeeper] = (), model: str = "") -> None:
        self._assets = {
            file.name: file.read_bytes() for file in (files(_PACKAGE) / "static").iterdir() if "." in file.name
        }
        if spoken() != ENGLISH:  # which scripts have in themselves
            self._assets[_TEXTS] = json.dumps(catalogue(spoken())["scripts"]).encode()
        self._tags = {name: sha256(data).hexdigest()[:12] for name, data in self._assets.items()}
        self._templates = templates()
        self._templates.globals.update(network=network, text=text, asset=self.address_of, code_meanings=CODE_MEANINGS)
        about = text("dock.about_model", model=model) if model else text("dock.about")
        self._templates.globals["assistant_about"] = about
        texts = self.address_of(_TEXTS) if _TEXTS in self._assets else ""
        self._templates.globals.update(
            language=spoken(), texts=texts, keepers=keepers, wallet_network=_for_wallets(network, keepers)
        )

    def page(self, template: str, *, status: int = 200, policy: str = POLICY, **values: Any) -> HTMLResponse:
        """A page. `values` are what its template names."""
        return HTMLResponse(self.text(template, **values), status, {"Content-Security-Policy": policy})

    def text(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(values)

    def address_of(self, name: str) -> str:
        """Where a static file is, named by its content so that it can be kept for ever."""
        return f"/static/{self._tags[name]}/{name}"

    def asset(self, tag: str, name: str) -> Response | None:
        """A static file, if it is still the one that was asked for."""
        if self._tags.get(name) != tag:
            return None
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(self._assets[name], media_type=kind, headers={"Cache-Control": _FOREVER})
