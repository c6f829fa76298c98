"""A browser that pages can be looked at in, where one is installed."""

import html
import json
import re
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome")

MEASURE = """
const page = frame.contentDocument, shown = frame.contentWindow;
const size = shape => { const box = shape.getBoundingClientRect(); return [box.width, box.height]; };
const ink = (shape, name) => shown.getComputedStyle(shape)[name];
measured.textContent = JSON.stringify({
  width: page.documentElement.clientWidth,
  needed: page.documentElement.scrollWidth,
  title: page.title,
  dark: shown.matchMedia("(prefers-color-scheme: dark)").matches,
  text: Math.min(100, ...[...page.querySelectorAll("svg text")].map(t => t.getBoundingClientRect().height)),
  pictures: [...page.querySelectorAll("svg")].map(svg => ({
    label: svg.getAttribute("aria-label"),
    size: size(svg),
    shapes: [...svg.querySelectorAll("rect, path, polyline")].map(size),
    boxes: [...svg.querySelectorAll("g")].map(g =>
      ["rect", "text"].map(tag => ink(g.querySelector(tag), "fill"))),
  })),
});
"""


def browser():
    """Its path, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def looked_at(text, width, folder, *, dark=False):
    """What a page measures in a browser at so many CSS pixels of width, and what the console says.

    The page stands in a frame, which may be narrower than any window, in a page that measures it.
    """
    frame = f'<iframe id="frame" style="width: {width}px" srcdoc="{html.escape(text)}"></iframe>'
    script = f"<script>frame.onload = () => {{{MEASURE}}}</script>"
    outer = folder / "outer.html"
    outer.write_text(f'<!doctype html>{frame}<pre id="measured"></pre>{script}', encoding="utf-8")
    done = subprocess.run(
        [
            browser(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--enable-logging=stderr",
            "--dump-dom",
            outer.as_uri(),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    [found] = re.findall(r'<pre id="measured">(.*)</pre>', done.stdout)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return json.loads(html.unescape(found)) | {"console": console}
