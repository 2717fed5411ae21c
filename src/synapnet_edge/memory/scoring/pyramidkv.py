"""PyramidKV: more keys for lower layers, the same number in all (2406.02069, equation 4)."""

from __future__ import annotations


def pyramid_budgets(
    layers: int, capacity: int, *, window: int = 8, beta: float = 20.0, length: int | None = None
) -> list[int]:
    """Keys each layer may hold, lowest layer first; they sum to `layers * capacity` exactly.

    Parameters
    ----------
    layers : int
    capacity : int
        Mean keys per layer, the window included.
    window : int
        Newest keys that every layer keeps.
    beta : float
        Steepness: the last layer gets about (capacity - window) / beta beside its window. The default 20
        leaves almost nothing there when there are few layers.
    length : int, optional
        Keys there are to choose from; None if unlimited. Below twice the capacity the budgets are equal.

    Raises
    ------
    ValueError
        If the capacity is below the window, or a number is out of range.

    Notes
    -----
    Rounding the step down, as the published code does, gives more than the total (32 layers of 120: 4.6 %).
    Here the shares are rounded down and what is left goes to the largest remainders.
    """
    if layers < 1 or window < 0 or capacity < window or beta < 1:
        raise ValueError(
            f"expected layers >= 1, 0 <= window <= capacity and beta >= 1, "
            f"got {layers}, {window}, {capacity} and {beta}"
        )
    share = capacity - window
    if layers == 1 or (length is not None and length < max(2 * share, capacity)):
        return [capacity] * layers
    low = share / beta
    high = 2 * share - low
    if length is not None and high >= length - window:
        high = float(length - window)
        low = 2 * share - high
    exact = [high - layer * (high - low) / (layers - 1) for layer in range(layers)]
    budgets = [int(x) for x in exact]
    left = layers * share - sum(budgets)
    by_remainder = sorted(range(layers), key=lambda layer: (budgets[layer] - exact[layer], layer))
    for layer in by_remainder[:left]:
        budgets[layer] += 1
    return [budget + window for budget in budgets]
