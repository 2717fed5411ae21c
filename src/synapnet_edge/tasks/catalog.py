"""Every task under its registry name."""

from __future__ import annotations

from synapnet_edge.registry import Registry
from synapnet_edge.tasks import longbench, mqar, needlebench, pressure, reference, ruler
from synapnet_edge.tasks.base import Task
from synapnet_edge.tasks.dense import Dense

TASKS: Registry[Task] = Registry("task")

for _task in (
    reference.NiahSingle(),
    reference.NiahMultiKey(),
    reference.VariableTrack(),
    reference.FrequencyAggregation(),
    reference.MemoryPressureNiah(),
    reference.Snia(),
    reference.Mkn(),
    reference.ReasoningOverNeedles(),
    reference.CountNeedles(),
    reference.AntiDistraction(),
    ruler.NiahMultikey1(),
    ruler.NiahMultikey1(pairs=8),
    ruler.NiahSingle2(),
    ruler.Vt(),
    ruler.Vt(hops=1),
    ruler.Vt(hops=4),
    ruler.Qa1(),
    ruler.Qa2(),
    ruler.Qa2(entities=3),
    mqar.Mqar64(),
    ruler.NiahSingle1(),
    ruler.NiahSingle3(),
    ruler.NiahMultikey2(),
    ruler.NiahMultikey3(),
    ruler.NiahMultivalue(),
    ruler.NiahMultiquery(),
    ruler.VtSet(),
    ruler.Cwe(),
    ruler.Fwe(),
    needlebench.Snia(),
    needlebench.Mkn(),
    needlebench.ReasoningOverNeedles(),
    needlebench.ReasoningOverNeedles(hops=2),
    needlebench.CountNeedles(),
    needlebench.AntiDistraction(),
    needlebench.KvUpdate(),
    pressure.MemoryPressure(),
    pressure.MemoryPressure("early"),
    pressure.MemoryPressure("late"),
    pressure.MemoryPressure("uncued"),
    longbench.SingleDocQa(),
    longbench.MultiDocQa(),
    longbench.Summarization(),
    longbench.FewShotIcl(),
    longbench.CodeCompletion(),
    longbench.PassageRetrieval(),
    longbench.PassageCount(),
    Dense("ruler/niah_multikey_1_dense", ruler.NiahMultikey1, spacing=64, least=4),
):
    TASKS.add(_task.name, _task)


def suite_tasks(suite: str) -> list[str]:
    """Names of the tasks of a suite, in order of registration.

    Raises
    ------
    ValueError
        If no task belongs to `suite`; the message lists the suites.
    """
    names = [name for name in TASKS if TASKS.get(name).suite == suite]
    if not names:
        suites = sorted({TASKS.get(name).suite for name in TASKS})
        raise ValueError(f"unknown suite {suite!r}; available: {', '.join(suites)}")
    return names
