"""Elements of SVG as text: what pictures are made of. They name no other file."""

import html
from collections.abc import Iterable, Sequence

INK, FAINT, BLUE = "currentColor", "#8b949e", "#539bf5"


def drawing(width: int, height: int, parts: Sequence[str], label: str) -> str:
    """A picture within a page."""
    return f"<svg {_size(width, height, label)}>{''.join(parts)}</svg>"


def file(width: int, height: int, parts: Sequence[str], label: str) -> str:
    """A picture that is a file of its own: dark on white, whatever it is shown on."""
    lines = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {_size(width, height, label)} '
        'font-family="system-ui, sans-serif" font-size="12" color="#1f2328">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *parts,
        "</svg>\n",
    )
    return "\n".join(lines)


def line(x1: float, y1: float, x2: float, y2: float, ink: str, width: float) -> str:
    """A straight line."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{ink}" '
        f'stroke-width="{width:g}"/>'
    )


def polyline(points: Iterable[tuple[float, float]], ink: str, width: float = 1.5) -> str:
    """A line through points."""
    listed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{listed}" fill="none" stroke="{ink}" stroke-width="{width:g}"/>'


def path(steps: str, ink: str, width: float) -> str:
    """A line along the steps of SVG's path language."""
    return f'<path d="{steps}" fill="none" stroke="{ink}" stroke-width="{width:g}"/>'


def bar(x: float, y: float, width: float, height: float, ink: str) -> str:
    """A filled rectangle; x, y: its corner at the top left."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{ink}"/>'


def text(x: float, y: float, text: str, anchor: str, ink: str = INK) -> str:
    """A line of text; anchor: whether x is its "start", "middle" or "end"."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{ink}">{escaped(text)}</text>'


def group(x: float, y: float, parts: Sequence[str]) -> str:
    """Elements moved to the right and down."""
    return f'<g transform="translate({x:g},{y:g})">\n{chr(10).join(parts)}\n</g>'


def escaped(text: str) -> str:
    """A text as it stands in markup; what does not print is a mark."""
    return html.escape("".join(c if c.isprintable() else "\ufffd" for c in text))


def _size(width: int, height: int, label: str) -> str:
    return (
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escaped(label)}"'
    )
