"""Pages: the one skeleton of everything that a browser shows of ours: head, policy, style, header and theme.

A page is a template that extends `pages/skeleton.html` and fills its blocks, with a style and a script of its
own behind the shared ones. All of it is one file that loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from opv2v_doctor import __version__
from opv2v_doctor.neutral import printable

if TYPE_CHECKING:
    from jinja2 import Environment

    from opv2v_doctor.text import Text

    Say = Callable[[str | Text], str]

# Plotly makes styles while it draws, and is unpacked into a script: no digest can tell what such a page runs.
_INLINE = "script-src 'unsafe-inline'; style-src 'unsafe-inline'"
DRAWING = f"default-src 'none'; {_INLINE}; img-src data: blob:; font-src data:"
STYLE, SCRIPT = "pages/page.css", "pages/page.js"
_said = re.compile(r"""\bsay\("([^"]+)"\)""")


def render(
    template: str,
    *,
    styles: Iterable[str] = (),
    scripts: Iterable[str] = (),
    policy: str | None = None,
    say: Say = str,
    language: str = "en",
    **values: Any,
) -> str:
    """A page of a template, all named as files of the package: `reporters/report.html`.

    `policy` is the page's Content-Security-Policy; None allows this style and this script by their digests,
    and "" leaves it to who serves the page.
    """
    from markupsafe import Markup

    styles, scripts = tuple(styles), tuple(scripts)
    style, script = _joined(STYLE, styles), _joined(SCRIPT, scripts)
    given = {"tone": "", "head": (), **values}
    found = _surroundings().get_template(template)
    return found.render(
        say=say,
        language=language,
        version=__version__,
        policy=policy_of(styles, scripts) if policy is None else policy,
        style=Markup(style),
        script=Markup(script),
        **given,
    )


def policy_of(styles: Sequence[str], scripts: Sequence[str], images: str = "data:") -> str:
    """The Content-Security-Policy of a page with these styles and scripts besides the shared ones."""
    style, script = digest(_joined(STYLE, styles)), digest(_joined(SCRIPT, scripts))
    return f"default-src 'none'; img-src {images}; style-src {style}; script-src {script}"


def _joined(first: str, others: Sequence[str]) -> str:
    return "".join(map(part, (first, *others)))


def fragment(template: str, **values: Any) -> str:
    """A part of a page."""
    return _surroundings().get_template(template).render(**values)


@cache
def _surroundings() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    surroundings = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(part),
    )
    surroundings.filters["ticked"] = _with_code
    surroundings.filters["printable"] = printable
    surroundings.filters["embedded"] = embedded
    return surroundings


@cache
def part(name: str) -> str:
    """The text of a file of the package."""
    return files("opv2v_doctor").joinpath(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """What a content security policy knows an inline script or style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def embedded(told: Any) -> str:
    """JSON for a script tag: no word of it closes the tag."""
    from markupsafe import Markup

    return Markup(json.dumps(told, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def words(scripts: Iterable[str], say: Say) -> Mapping[str, str]:
    """What the scripts say, in the reader's language; what is the same there is left out."""
    found = dict.fromkeys(text for name in scripts for text in _said.findall(part(name)))
    return {text: told for text in found if (told := say(text)) != text}


def _with_code(text: str) -> str:
    """A text, what stands between backticks as code."""
    from markupsafe import Markup, escape

    plain, *marked = re.split(r"`([^`\n]+)`", text)
    pairs = zip(marked[::2], marked[1::2], strict=True)
    return escape(plain) + Markup("").join(Markup("<code>{}</code>{}").format(*pair) for pair in pairs)
