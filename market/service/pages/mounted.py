"""The pages as one ASGI app that is put together on its first request: an index that nobody looks at, and one that only
programs ask, do without templates and their engine (4 MB)."""

from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from heldout.market.service.sources import Sources

if TYPE_CHECKING:
    from heldout.market.service.pages.site import Site


class Pages:
    """Answers whatever the API does not, 404 included."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._making = Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        routes = await run_in_threadpool(self._made)
        await routes(scope, receive, send)

    @cached_property
    def site(self) -> "Site":
        """Templates and static files."""
        from heldout.market.service.pages.site import Site

        return Site(self._sources.network, self._sources.keepers, self._sources.model)

    @cached_property
    def _routes(self) -> ASGIApp:
        from heldout.market.service.pages.routes import page_routes

        return page_routes(self._sources, self.site)

    def _made(self) -> ASGIApp:
        with self._making:
            return self._routes
