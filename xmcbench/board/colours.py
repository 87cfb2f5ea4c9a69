"""A colour for each family of methods, the same on the page and in all figures."""

from __future__ import annotations

from collections.abc import Iterable

# Okabe and Ito's colours, which colour-blind readers can tell apart; red and blue for the two largest families
FAMILIES = {
    "tree": "#0072B2",
    "graph-index": "#D55E00",
    "neighbours": "#009E73",
    "one-vs-rest": "#CC79A7",
    "dense": "#E69F00",
    "external": "#56B4E9",
    "floor": "#777777",
}
OTHERS = ("#332288", "#882255", "#117733", "#999933", "#AA4499", "#661100")  # of families that plugins name


def colours(families: Iterable[str]) -> dict[str, str]:
    """A colour for each family; those of families that we know never change."""
    unknown = sorted({*families} - FAMILIES.keys())
    return FAMILIES | {family: OTHERS[i % len(OTHERS)] for i, family in enumerate(unknown)}
