"""Bits where they matter: the exact allocation of widths to components under a byte budget.

An integer programme with one binary variable for each (component, option)::

    minimise  sum divergence x    with    sum_o x_co = 1 for every component    and    sum bytes x <= budget

The measured divergences of single components are added up; that is an assumption about the objective (errors
of components do not interact), and the solution is exact for it. Solved by HiGHS through scipy.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, milp


class BudgetError(ValueError):
    """No allocation fits the budget."""


def allocate(sensitivity: pd.DataFrame, budget: int) -> dict[str, str]:
    """Choose one option for each component: component -> option, in the table's order.

    Parameters
    ----------
    sensitivity : DataFrame
        `component`, `option`, `bytes` and `divergence`, as `measure_sensitivity` returns it.
    budget : int
        Bytes that the components may take together.

    Raises
    ------
    BudgetError
        If even the smallest options do not fit; the message says what they take.
    """
    table = sensitivity.reset_index(drop=True)
    components = list(dict.fromkeys(table["component"]))
    least = int(table.groupby("component")["bytes"].min().sum())
    if budget < least:
        raise BudgetError(f"byte budget: found {budget} for the components, expected at least {least}")
    one_each = np.array([(table["component"] == name).to_numpy(dtype=float) for name in components])
    sizes = table["bytes"].to_numpy(dtype=float)
    found = milp(
        c=table["divergence"].to_numpy(dtype=float),
        constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(sizes[None], -np.inf, budget)],
        integrality=np.ones(len(table)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        raise BudgetError(f"byte budget {budget}: the solver found no allocation ({found.message})")
    chosen = table[found.x > 0.5]
    return dict(zip(chosen["component"], chosen["option"], strict=True))
