"""The drawing of an artifact and its ancestors, as a page may hold it."""

from markupsafe import Markup

from heldout.market.service.sources import Sources
from heldout.market.valuechain import fold
from heldout.market.valuechain.drawing import draw


def chain_drawing(sources: Sources, artifact: str) -> Markup:
    """The SVG of heldout.market.valuechain, which escapes what it is given; empty for an artifact nobody made.

    Its own style sheet stays behind, since a page may have no inline style: site.css says the same in its colours.
    """
    chain = fold(sources.reading.lineage(artifact))
    if artifact not in chain.artifacts:
        return Markup()
    before, _, rest = draw(chain, artifact).partition("<style>")
    return Markup(before + rest.partition("</style>")[2])
