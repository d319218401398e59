"""Plotly inside a page: the library once, compressed, so that a file opens offline and stays small."""

from __future__ import annotations

import base64
import gzip
import importlib
from functools import cache

TAGS = """\
<script id="plotly-source" type="text/plain">{packed}</script>
<script>
"use strict";
/** Resolves with the Plotly library: the page holds it as gzip in base64, the browser unpacks it. */
const plotlyReady = (async () => {{
  const holder = document.getElementById("plotly-source");
  const packed = Uint8Array.from(atob(holder.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  script.remove();
  holder.remove();
  return window.Plotly;
}})();
plotlyReady.catch((problem) => {{
  const words = document.createElement("p");
  words.textContent = `This page needs a browser of 2023 or later: ${{problem}}`;
  document.body.prepend(words);
}});
</script>"""


@cache
def plotly_tags() -> str:
    """The script tags that give a page `plotlyReady`, a promise of the Plotly library: about 2 MB.

    They hold everything: nothing is loaded. A page's Content-Security-Policy has to allow inline scripts.
    """
    source: str = importlib.import_module("plotly.offline").get_plotlyjs()
    packed = gzip.compress(source.encode(), 6, mtime=0)
    return TAGS.format(packed=base64.b64encode(packed).decode("ascii"))
