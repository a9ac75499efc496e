"""The store's routes about keeping: who keeps what, until when, and no longer.

PUT    /v1/pins/{sha256}    keep an artifact that is here on one's own account (Heldout-Upload permit, as for its bytes)
GET    /v1/pins/{sha256}    on whose accounts it is kept, and until when
DELETE /v1/pins/{sha256}    no longer on one's own               (Heldout-Account permit)
GET    /v1/pins             what is kept on one's own account    (Heldout-Account permit)
DELETE /v1/pins             nothing of it any longer             (Heldout-Account permit)
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse

from heldout.market.artifacts.blob import ArtifactStore, missing, parse_id
from heldout.market.artifacts.keeping import Keeping, Pin
from heldout.market.artifacts.permit import ACCOUNT_HEADER, HEADER, check_account_permit, check_permit

PAGE: Final = 500
AccountPermit = Annotated[str, Header(alias=ACCOUNT_HEADER)]


def pin_routes(store: ArtifactStore, keeping: Keeping, url: str, clock: Callable[[], float]) -> APIRouter:
    """`url` is what permits are signed for; `clock` is unix time."""
    routes = APIRouter(prefix="/v1/pins")

    @routes.put("/{artifact}")
    def pin(artifact: str, permit: Annotated[str, Header(alias=HEADER)]) -> JSONResponse:
        """Keep it on the signer's account from now on, or for longer. 201 if it was not yet."""
        name = parse_id(artifact)
        with keeping.lock:  # nothing is removed between looking and pinning
            size = store.size(name)
            if size is None:
                raise missing(name, "this store")
            address = check_permit(permit, url, name, size, clock())
            new = keeping.pin(name, address, size)
        return JSONResponse(_shown(keeping.pins(artifact=name, address=address)[0]), 201 if new else 200)

    @routes.get("/{artifact}")
    def pins_of(artifact: str) -> dict[str, Any]:
        """Everybody who keeps it. 404 if it is not here."""
        name = parse_id(artifact)
        if store.size(name) is None:
            raise missing(name, "this store")
        return {"pins": [_shown(pin) for pin in keeping.pins(artifact=name, limit=PAGE)], "keep": keeping.keep}

    @routes.delete("/{artifact}")
    def drop(artifact: str, permit: AccountPermit) -> dict[str, int]:
        """The signer needs it no longer. It goes when nobody does, and no job of theirs goes on."""
        name = parse_id(artifact)
        address = check_account_permit(permit, url, f"drop {name}", clock())
        return {"dropped": int(keeping.drop(name, address))}

    @routes.get("")
    def own(permit: AccountPermit, after: Annotated[str, Query(max_length=64)] = "") -> dict[str, Any]:
        """What is kept on the signer's account, in the order of ids, one page after `after`."""
        address = check_account_permit(permit, url, "list", clock())
        found = keeping.pins(address=address, after=after, limit=PAGE)
        next_ = found[-1].artifact if len(found) == PAGE else None
        about = {"used": keeping.used(address), "quota": keeping.quota, "keep": keeping.keep}
        return {"pins": [_shown(pin) for pin in found], "next": next_, **about}

    @routes.delete("")
    def drop_all(permit: AccountPermit) -> dict[str, int]:
        """The signer needs nothing any longer."""
        address = check_account_permit(permit, url, "drop all", clock())
        return {"dropped": keeping.drop_all(address)}

    return routes


def _shown(pin: Pin) -> dict[str, Any]:
    """`until` is null while a job of the address goes on."""
    return pin._asdict()
