"""A page in headless Chromium, at a phone's or a desktop's width: what it logged, loaded and shows."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
# The page lies in a frame of the width asked for, since a window cannot be as narrow as a phone; its policy stays its own.
WRAPPER = """<!doctype html><meta charset="utf-8"><title>waiting</title>
<iframe id="frame" width="{width}" height="844" srcdoc="{page}"></iframe>
<script>
document.getElementById("frame").addEventListener("load", (event) => {{
  const view = event.target.contentWindow, page = view.document, root = page.documentElement;
  const measured = {{
    width: root.clientWidth, scrollWidth: root.scrollWidth,
    loaded: view.performance.getEntriesByType("resource").map((entry) => entry.name),
    found: (() => {{ {look} }})(),
  }};
  document.title = JSON.stringify(measured).replace(/</g, "\\\\u003c");
}});
</script>"""


def visit(page: str, folder: Path, *, width: int, look: str = "return null;", dark: bool = False) -> dict[str, Any]:
    """What the page shows.

    Args:
        page: the HTML text.
        folder: for temporary files.
        width: of the frame, in CSS pixels.
        look: body of a function over `page`, the page's document, whose JSON value is returned as `found`.
        dark: prefer dark colours.

    Returns:
        `width` and `scrollWidth` in CSS pixels, `loaded` (addresses of resources), `found`, `console` (lines).
    """
    file = folder / f"wrapped-{width}.html"
    file.write_text(WRAPPER.format(width=width, page=html.escape(page), look=look), encoding="utf-8", errors="replace")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--enable-logging=stderr"]
    options += [f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900", "--dump-dom"]
    options += ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run([CHROMIUM, *options, file.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)[1]
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return json.loads(html.unescape(title)) | {"console": console}
