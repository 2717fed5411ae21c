"""The synthetic LongBench-style suite: question answering, summaries, examples, code, passages."""

from synapnet_edge.tasks.longbench.code_completion import CodeCompletion
from synapnet_edge.tasks.longbench.few_shot_icl import FewShotIcl
from synapnet_edge.tasks.longbench.multi_doc_qa import MultiDocQa
from synapnet_edge.tasks.longbench.passage_count import PassageCount
from synapnet_edge.tasks.longbench.passage_retrieval import PassageRetrieval
from synapnet_edge.tasks.longbench.single_doc_qa import SingleDocQa
from synapnet_edge.tasks.longbench.summarization import Summarization

__all__ = [
    "CodeCompletion",
    "FewShotIcl",
    "MultiDocQa",
    "PassageCount",
    "PassageRetrieval",
    "SingleDocQa",
    "Summarization",
]
