"""How baselines and variants of the reference model are told apart in all figures that compare them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

USES = ("plotting.rivals", "reporting.rivals")
MODELS = {
    "reference": (style.BLACK, "o"),
    "llama": (style.BLUE, "s"),
    "mamba2": (style.ORANGE, "^"),
    "falcon_h1": (style.GREEN, "D"),
    "hymba": (style.PINK, "v"),
    "em_llm": (style.SKY, "P"),
}
DASHES = ("-", "--", ":", "-.")


def look(model: str, variant: str, variants: list[str]) -> dict[str, Any]:
    """Colour and marker of a model, dash of a variant (in the order of `variants`)."""
    color, marker = MODELS.get(model, (style.GREY, "X"))
    dash = DASHES[variants.index(variant) % len(DASHES)]
    return {"color": color, "marker": marker, "linestyle": dash, "label": f"{model} {variant}"}


def front(ax: Axes, points: list[tuple[float, float]]) -> None:
    """A grey stair through the points that no other beats in both directions (less x, more y)."""
    best, stair = float("-inf"), []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if y > best:
            stair.append((x, y))
            best = y
    if len(stair) > 1:
        ax.step(*zip(*stair, strict=True), where="post", color="#bbbbbb", linewidth=1.2, zorder=1)
