"""The pieces of the shop's page; `page.html` holds them together."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

ITEMS = {
    "tea": ("Smoked tea", 4_50),
    "mug": ("Stoneware mug", 12_00),
    "lamp": ("Reading lamp", 39_90),
    "book": ("A book of knots", 18_00),
    "cord": ("Andon cord, 3 m", 9_95),
    "bell": ("Brass bell", 24_00),
}
"""What is sold: name and price in cents."""


def goods() -> str:
    """All that is sold, each with its button."""
    cards = (
        f'<li class="item"><span class="picture" aria-hidden="true">{html.escape(name[0])}</span>'
        f"<h3>{html.escape(name)}</h3><p>€ {price / 100:.2f}</p>"
        f'<form method="post" action="/basket"><input type="hidden" name="item" value="{item}">'
        f'<button aria-label="Put in basket: {html.escape(name)}">Put in basket</button></form></li>'
        for item, (name, price) in ITEMS.items()
    )
    return (
        f'<section aria-labelledby="goods"><h2 id="goods">Goods</h2><ul class="goods">{"".join(cards)}</ul></section>'
    )


def basket_shown(basket: Mapping[str, int]) -> str:
    """What is in the basket, and the button that buys it."""
    if not basket:
        inside = "<p>Your basket is empty.</p>"
    else:
        rows = "".join(f"<li>{count} × {html.escape(ITEMS[item][0])}</li>" for item, count in basket.items())
        total = sum(ITEMS[item][1] * count for item, count in basket.items())
        inside = (
            f"<ul>{rows}</ul><p><strong>€ {total / 100:.2f}</strong></p>"
            '<form method="post" action="/buy"><button class="main">Buy</button></form>'
        )
    return f'<section aria-labelledby="basket"><h2 id="basket">Basket</h2>{inside}</section>'


def switch_shown(versions: Iterable[tuple[str, bool]], own_version: str) -> str:
    """Every version lately started, each with the button that breaks or mends it."""
    rows = []
    for version, is_broken in versions:
        shown = html.escape(version)
        verb, state = ("Mend it", "broken") if is_broken else ("Break it", "serves well")
        here = " (this page)" if version == own_version else ""
        rows.append(
            f"<li><span><strong>{shown}</strong>{here}: {state}</span>"
            f'<form method="post" action="/_switch"><input type="hidden" name="version" value="{shown}">'
            f'<input type="hidden" name="broken" value="{str(not is_broken).lower()}">'
            f'<button class="{"mend" if is_broken else "break"}" aria-label="{verb}: version {shown}">{verb}</button>'
            "</form></li>"
        )
    return "".join(rows)
