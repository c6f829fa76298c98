"""A comparison as a page that needs no other file."""

import html

from octavo.report.comparison import Comparison


def body(found: Comparison) -> str:
    """What stands between a page's head and its end."""
    return f"<pre>{html.escape(str(found))}</pre>"


def page(found: Comparison) -> str:
    """The whole page."""
    return f'<!doctype html>\n<meta charset="utf-8">\n<title>octavo compare</title>\n{body(found)}\n'
