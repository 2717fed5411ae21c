"""The picture and the table of results in the README, written from the published run and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synapnet_edge.artifacts import read_table, write_text
from synapnet_edge.reporting import text

if TYPE_CHECKING:
    import pandas as pd

BEGIN = "<!-- results: written by `make publish` from docs/results -->\n"
END = "<!-- end of results -->\n"
PICTURES = ("headline", "long_context")  # the first that was published is shown
VARIANTS = ("fp16", "int4", "cajq_qat")


def headline_table(head: pd.DataFrame) -> str:
    """NIAH-single by variant and length: mean and spread over seeds, interval, n, and the published mean."""
    rows = [
        (
            row.variant,
            str(int(row.length)),
            text.mean_std(row.mean, row.std),
            text.interval(row.ci_low, row.ci_high),
            f"{int(row.seeds)} × {int(row.n)}",
            text.mean_std(row.published, row.published_std),
        )
        for row in head.itertuples(index=False)
        if row.variant in VARIANTS and row.model == "reference"
    ]
    columns = ("variant", "tokens", "accuracy", "95 % interval", "seeds × n", "published")
    return (
        "NIAH-single of the reference protocol: mean ± standard deviation over trained seeds, interval "
        "pooled over seeds;\npublished: one training.\n\n" + text.table(columns, rows)
    )


def with_table(readme: str, head: pd.DataFrame, published: Path) -> str:
    """The page with picture and table between its two markers.

    Raises
    ------
    ValueError : the markers are not there.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("README: found no markers of the results, expected two comment lines")
    drawn = [name for name in PICTURES if (published / "figures" / f"{name}.png").is_file()]
    pictures = [
        f"![Results of the published run: {name}](docs/results/figures/{name}.png)\n" for name in drawn[:1]
    ]
    return before + "\n".join([BEGIN, *pictures, headline_table(head), END]) + after


def refresh(readme: Path, published: Path) -> None:
    """Write the table of the published results (docs/results) into the README."""
    head = read_table(published / "tables" / "headline.csv")
    write_text(readme, with_table(readme.read_text(encoding="utf-8"), head, published))
