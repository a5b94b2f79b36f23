"""The comparison as a picture: what bad changes do to customers without each caution, and where they are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from company.report import number, span
from company.tally import Tally

WIDTH = 860
LEFT = 190
BAR = 22
GAP = 14
INK = "#1d1c1d"
PALE = "#616061"
BAD = "#c9413b"
GOOD = "#2d7d5f"


def picture(title: str, tallies: Mapping[str, Tally], order: Sequence[str]) -> str:
    """An SVG of its own: bars of failed requests for each way to run, then where bad changes are found."""
    first = next(iter(tallies.values()))
    stages = [name for name in order if name in first.found]
    stages += sorted(set(first.found) - {*order, "customers"})
    places = [*stages, *(["customers"] if first.found["customers"] else [])]
    parts = [_text(24, 34, title, 18, weight="600"), _text(24, 58, _summary(first), 13, PALE)]
    y = 96
    parts.append(_text(24, y, "Failed requests of customers, for each bad change", 14, weight="600"))
    y += 16
    most = max([_each(tally) for tally in tallies.values()] + [1])
    for name, tally in tallies.items():
        value = f"{number(_each(tally))} · arrives in {span(tally.lead(50))}"
        parts += _bar(y, name, _each(tally) / most, value, GOOD if tally is first else BAD)
        y += BAR + GAP
    y += 24
    parts.append(_text(24, y, "Where bad changes are found, with all cautions", 14, weight="600"))
    y += 16
    whole = max(1, sum(first.found.values()))
    widest = max([first.found[name] for name in places] + [1])
    for name in places:
        count = first.found[name]
        value = f"{number(count)} ({100 * count // whole} %)"
        parts += _bar(y, name, count / widest, value, BAD if name == "customers" else GOOD)
        y += BAR + GAP
    height = y + 16
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _summary(tally: Tally) -> str:
    return (
        f"{number(tally.versions)} versions, {number(tally.bad_changes)} bad changes, "
        f"{number(tally.deployments)} deployments; {number(tally.violations)} violations"
    )


def _each(tally: Tally) -> float:
    return tally.customers_hit / tally.bad_changes if tally.bad_changes else 0


def _bar(y: int, name: str, share: float, value: str, colour: str) -> list[str]:
    width = max(2, round(share * (WIDTH - LEFT - 250)))
    return [
        _text(24, y + 16, name, 13),
        f'<rect x="{LEFT}" y="{y}" width="{width}" height="{BAR}" rx="3" fill="{colour}"/>',
        _text(LEFT + width + 8, y + 16, value, 13, PALE),
    ]


def _text(x: int, y: int, said: str, size: int, colour: str = INK, weight: str = "400") -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}">{escape(said)}</text>'
