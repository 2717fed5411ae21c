"""docs/tasks.md, written from the registry: what the tasks are, what chance and the best shortcut reach."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence

from synapnet_edge.registry import Registry
from synapnet_edge.reporting import text
from synapnet_edge.reporting.task_skills import ORIGINS, SHORTCUTS, SKILLS
from synapnet_edge.tasks import custom
from synapnet_edge.tasks.base import Task

LENGTHS = (512, 1024, 4096)
_SECTION = re.compile(
    r"\n\n?(?:Parameters|Raises|Attributes|Returns)\n-+\n.*?(?=\n\nNotes\n-+\n|\Z)", re.DOTALL
)
_NOTES = re.compile(r"\n\n?Notes\n-+\n")
_HEAD = """# Tasks

Generated from the registry by `python -m synapnet_edge tasks --markdown > docs/tasks.md`; a test compares.

Every task is a row of tokens and one or more read-outs with 64 classes. In all suites but those of the
reference protocol, class c means token 5 + c. A row's seed is derived from the seed, the split, the task, the
length and its index (the reference protocol has its own streams), so that any subset of rows has the same
bytes anywhere. `version` is raised whenever a score could change.

- **Chance**: a uniform guess among the possible answers. **Guess**: the best known shortcut, the level that a
  score has to exceed to be evidence of the skill. Tables report it beside the score.
- "Computed" shortcuts follow from the construction, "measured" ones from drawn rows; the tests of every task
  hold its heuristics and probes to them. A shortcut may use more than a rule without a question can (such as
  the right record with its place ignored), so that it bounds partial skills too.
- What an exact solver, probes and simple rules reach on drawn rows, and how fast rows are made, is in
  `results/task_tables.md` after `snakemake --cores 4 task_tables`.
- A task of your own: [own_task.md](own_task.md).
"""
_SCORES = {
    "accuracy": "accuracy",
    "recall": "recall of the m right answers among the m best classes",
    "exact_match": "share of rows with every read-out right",
    "absolute_error": "mean absolute error of the count",
    "edit_similarity": "edit similarity of the read-outs",
    "rouge_l": "ROUGE-L of the read-outs",
}


def task_page(registry: Registry[Task], names: Sequence[str] | None = None) -> str:
    """The page as Markdown, for all tasks or those named."""
    tasks = [registry.get(name) for name in names or registry]
    suites = dict.fromkeys(task.suite for task in tasks)
    parts = [_HEAD]
    for suite in suites:
        members = [task for task in tasks if task.suite == suite]
        parts.append(f"## {suite}\n\n{_numbers(members)}")
        parts += [_section(group) for group in _by_class(members)]
    return "\n".join(parts)


def skill(task: Task) -> str:
    """What a task is for; the first line of the docstring of a task that the package does not hold."""
    if task.name in SKILLS:
        return SKILLS[task.name]
    first = next(_paragraphs(type(task)), "not stated")
    return f"{first[0].lower()}{first[1:]}".rstrip(".")


def construction(task: Task) -> list[str]:
    """Paragraphs of the docstring that say how a row is made, with the row's frame from a base class."""
    found = [part for part in _paragraphs(type(task)) if not _about_scores(part)]
    if not any(_is_frame(part) for part in found):
        frames = (part for base in type(task).__mro__[1:] for part in _paragraphs(base) if _is_frame(part))
        found += list(frames)[:1]
    return found


def shortcut(task: Task) -> tuple[str, str]:
    """Where the level of the best shortcut comes from, and what it is; as the class or a base of it says."""
    if task.name in SHORTCUTS:
        return "by construction", SHORTCUTS[task.name]
    for kind in type(task).__mro__:
        for part in _paragraphs(kind):
            said = re.search(r"Guess(?: \(([^)]*)\)([^:]*))?(?::|,)? +(.*)", part)
            if said is not None:
                how = f"{said[1]}{said[2]}" if said[1] else ""
                origin = ORIGINS.get(task.name, "")
                return ", ".join(filter(None, [origin, how])), f"{said[3][0].upper()}{said[3][1:]}"
    return "", "Not stated."


def _numbers(tasks: Sequence[Task]) -> str:
    rows = [
        (
            *(f"`{task.name}`", str(task.version), text.count(task.min_length)),
            "; ".join(_SCORES.get(metric, metric) for metric in task.metrics),
            _by_length(task, "chance"),
            _by_length(task, "guess"),
        )
        for task in tasks
    ]
    levels = f"at {', '.join(map(str, LENGTHS))}"
    return text.table(
        ("task", "version", "from length", "score", f"chance {levels}", f"guess {levels}"), rows
    )


def _by_length(task: Task, level: str) -> str:
    """A level at the usual lengths, once if it is the same at all of them."""
    found = [
        text.share(getattr(task, level)(length)) if length >= task.min_length else "–" for length in LENGTHS
    ]
    known = {value for value in found if value != "–"}
    return known.pop() if len(known) == 1 else ", ".join(found)


def _by_class(tasks: Sequence[Task]) -> list[list[Task]]:
    groups: dict[type, list[Task]] = {}
    for task in tasks:
        groups.setdefault(type(task), []).append(task)
    return list(groups.values())


def _section(group: Sequence[Task]) -> str:
    first = group[0]
    names = ", ".join(task.name for task in group)
    body = "\n\n".join(
        part for part in construction(first) if part.lower().rstrip(".") != skill(first).lower()
    )
    how, rule = shortcut(first)
    return (
        f"### {names}\n\n**Skill:** {skill(first)}.\n\n{body}\n\n"
        f"**Best shortcut{how and f' ({how})'}:** {rule}\n\n**Code:** `{_place(first)}`\n"
    )


def _place(task: Task) -> str:
    module = custom.FACTS.get(task.name, {}).get("module", type(task).__module__)
    return f"{module.removeprefix('synapnet_edge.')}.{type(task).__name__}"


def _paragraphs(kind: type) -> Iterator[str]:
    """Paragraphs of the class's own docstring, sections of parameters and exceptions left out."""
    own = vars(kind).get("__doc__")
    if not own or not issubclass(kind, Task) or kind is Task:
        return
    plain = _NOTES.sub("\n\n", _SECTION.sub("", inspect.cleandoc(own)))
    yield from (part.strip().replace("\n", " ") for part in re.split(r"\n\n+", plain) if part.strip())


def _about_scores(paragraph: str) -> bool:
    return "Guess" in paragraph or paragraph.startswith(("Scores:", "Score:"))


def _is_frame(paragraph: str) -> bool:
    return paragraph.startswith(("Row: ", "The row "))
