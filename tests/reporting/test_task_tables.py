"""The page of speed and guards, and the page of the tasks."""

from __future__ import annotations

import pandas as pd
import pytest

from synapnet_edge.evaluation.task_guards import COLUMNS as GUARD_COLUMNS
from synapnet_edge.evaluation.task_speed import COLUMNS as SPEED_COLUMNS
from synapnet_edge.reporting.task_page import construction, shortcut, skill, task_page
from synapnet_edge.reporting.task_skills import ORIGINS, SHORTCUTS, SKILLS
from synapnet_edge.reporting.task_tables import write_task_tables
from synapnet_edge.tasks import TASKS
from synapnet_edge.tasks.custom import FACTS

ORIGIN_WORDS = ("computed", "measured", "by construction")


@pytest.fixture(scope="module")
def packaged():
    return [name for name in TASKS if name not in FACTS]


def test_docs_tasks_is_up_to_date(repository, packaged):
    page = (repository / "docs" / "tasks.md").read_text(encoding="utf-8")
    assert page == task_page(TASKS, packaged), "python -m synapnet_edge tasks --markdown > docs/tasks.md"


def test_every_task_has_a_skill_a_construction_and_a_shortcut_with_its_origin(packaged):
    first = {}
    for name in packaged:
        first.setdefault(type(TASKS.get(name)), TASKS.get(name))
    for task in first.values():
        assert task.name in SKILLS, f"{task.name}: add a line to reporting/task_skills.py"
        assert len(" ".join(construction(task))) > 20, task.name
        how, rule = shortcut(task)
        assert rule != "Not stated.", task.name
        assert any(word in how + rule for word in ORIGIN_WORDS), task.name
        assert "Guess" not in skill(task) + rule and not any("Guess" in part for part in construction(task))


def test_no_line_is_about_a_task_that_does_not_exist():
    assert {*SKILLS, *SHORTCUTS, *ORIGINS} <= set(TASKS)


def test_levels_that_depend_on_the_length_are_given_for_all_lengths():
    page = task_page(TASKS, ["ruler/niah_single_2", "longbench/passage_count"])
    assert "| 0.016 | 0.794, 0.641, 0.258 |" in page
    assert "| 0.077 | 0.250 |" in page  # does not fit in 512 tokens, the same at the others
    assert "mean absolute error" in page and "## longbench" in page


@pytest.fixture
def tables():
    speed = pd.DataFrame(
        [
            ("ruler", "ruler/vt", 1, "training", 16, 4096, 24, 9, 3.0e6, 2.5e6, 3.25e6),
            ("ruler", "ruler/vt", 1, "evaluation", 16, 4096, None, 9, 1.5e6, 1.0e6, 2.0e6),
            ("ruler", "ruler/qa_1", 1, "training", 16, 4096, 24, 9, 1.0e6, 0.5e6, 1.25e6),
            ("ruler", "ruler/qa_1", 1, "evaluation", 16, 4096, None, 9, 1.5e6, 1.0e6, 2.0e6),
        ],
        columns=SPEED_COLUMNS,
    )
    guards = pd.DataFrame(
        [
            ("ruler", "ruler/vt", 1, 512, "oracle", "oracle", 500, 1.0, 0.99, 1.0, 0.016, 0.34, 1.0, True),
            ("ruler", "ruler/vt", 1, 512, "heuristic", "any_bigram", 500, 0.5, 0.46, 0.54, 0.016, 0.34, 0.34)
            + (False,),
        ],
        columns=GUARD_COLUMNS,
    )
    return speed, guards


def test_page_says_which_tasks_are_slow_and_which_break_a_bound(tables, tmp_path):
    write_task_tables(*tables, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "met by 1 of 2 tasks" in page and "those of training with up to 24 answers" in page
    assert page.index("| ruler/qa_1 |") < page.index("| ruler/vt |")
    assert "| 3.00 | [2.50, 3.25] | yes | 1.50 | [1.00, 2.00] | 9 |" in page
    assert "- ruler/vt at 512: heuristic (any_bigram) 0.500 [0.460, 0.540], n = 500, bound 0.340" in page
    assert "| – | – | – | **0.500 [0.460, 0.540]** | any_bigram | 0.016 | 0.340 |" in page


def test_page_without_complaints_says_so(tables, tmp_path):
    speed, guards = tables
    write_task_tables(speed, guards[guards["within"]], tmp_path / "page.md")
    assert "### Outside a bound\n\nNothing." in (tmp_path / "page.md").read_text(encoding="utf-8")
