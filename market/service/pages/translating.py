"""Templates in the language spoken: `tr("…")` and `{% trans %}…{% endtrans %}`, out of the catalogue of texts.

A text in `trans` may hold tags; its values, and all that `tr` gives, are escaped. What is said without values is put in
when the template is compiled, so that a page in any language costs what it would cost without one.
"""

from typing import Any

from jinja2 import Environment, nodes
from jinja2.visitor import NodeTransformer

from heldout.market.texts import tr


class SpeakingEnvironment(Environment):
    """Speaks what the process speaks when a template is first asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(extensions=["jinja2.ext.i18n"], **options)
        self.policies["ext.i18n.trimmed"] = True
        self.globals.update(tr=tr, gettext=tr)

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        """Jinja's hook between parsing and compiling."""
        return super()._generate(_Said().visit(source), *args, **options)


class _Said(NodeTransformer):
    """Puts texts in the place of the calls that would look them up."""

    def visit_Call(self, call: nodes.Call) -> nodes.Node:
        match self.generic_visit(call):
            case nodes.Call(node=nodes.Name(name="tr" | "gettext"), args=[nodes.Const(value=str(text))], kwargs=[]):
                return nodes.Const(tr(text), lineno=call.lineno, environment=call.environment)
        return call
