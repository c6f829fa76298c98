"""What the pages of reports are made of: a style, tables, lists; no other file, no script."""

import html
from collections.abc import Iterable, Sequence

from octavo.errors import printable

_STYLE = """
.octavo { font: 14px/1.5 system-ui, sans-serif; max-width: 1100px; }
.octavo table { border-collapse: collapse; }
.octavo th, .octavo td { padding: 2px 10px; text-align: right; white-space: nowrap; }
.octavo th.text, .octavo td.text { text-align: left; }
.octavo table.facts td { white-space: normal; }
.octavo li, .octavo h3, .octavo table.facts td:last-child { overflow-wrap: anywhere; }
.octavo table.facts td:first-child { min-width: 9em; }
.octavo tr:nth-child(even) td { background: rgba(128, 128, 128, 0.1); }
.octavo .scroll { overflow-x: auto; }
.octavo .note { max-width: 75ch; margin: 0.6em 0; }
.octavo svg { max-width: calc(100% - 1em); height: auto; margin: 0 1em 0.6em 0; }
.octavo svg { font: 12px system-ui, sans-serif; }
.octavo .scroll svg { max-width: none; }
.octavo .mark { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; }
.octavo .graph { max-height: 700px; overflow-y: auto; border: 1px solid rgba(128, 128, 128, 0.4); }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
</head>
<body>
{body}
</body>
</html>
"""


def page(title: str, body: str) -> str:
    """A whole page."""
    return _PAGE.format(title=escaped(title), body=body)


def body(parts: Iterable[str]) -> str:
    """What stands in a page, and in a notebook."""
    return f'<div class="octavo"><style>{_STYLE}</style>{"".join(parts)}</div>'


def items(texts: Iterable[str]) -> str:
    """A list; nothing where it is empty."""
    listed = "".join(f"<li>{escaped(text)}</li>" for text in texts)
    return f"<ul>{listed}</ul>" if listed else ""


def note(text: str) -> str:
    """A paragraph that says what is shown."""
    return f'<p class="note">{escaped(text)}</p>'


def scrolled(inner: str, kind: str = "") -> str:
    """What may be wider than a page: it moves within a frame, and the page does not."""
    return f'<div class="scroll {kind}">{inner}</div>' if kind else f'<div class="scroll">{inner}</div>'


class Mark(str):
    """A colour that stands in a cell for itself."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "rows") -> str:
    """A table whose columns of numbers are to the right, those of texts to the left, and none is empty."""
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    filled = [index for index, column in enumerate(columns) if any(column) or not rows]
    header, *rows = ([cells[index] for index in filled] for cells in (header, *rows))
    columns = [columns[index] for index in filled]
    texts = [not all(map(_is_number, column)) for column in columns]
    lines = [_line(header, texts, "th")] if any(header) else []
    lines += [_line(row, texts, "td") for row in rows]
    return scrolled(f'<table class="{kind}">{"".join(lines)}</table>')


def _is_number(cell: str) -> bool:
    return cell.lstrip("-")[:1].isdigit() or cell in ("", "-")


def _line(cells: Sequence[str], texts: Sequence[bool], tag: str) -> str:
    made = []
    for cell, is_text in zip(cells, texts, strict=True):
        inner = escaped(cell)
        if isinstance(cell, Mark):
            inner = f'<span class="mark" style="background: {cell}"></span>'
        kind = ' class="text"' if is_text else ""
        made.append(f"<{tag}{kind}>{inner}</{tag}>")
    return f"<tr>{''.join(made)}</tr>"


def escaped(text: str) -> str:
    """A text as it stands in markup, on one line."""
    return html.escape(printable(text))
