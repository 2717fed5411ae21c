import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from synapnet_edge.tasks import TASKS

LENGTH = 256
SCRIPT = """
import hashlib
from synapnet_edge.tasks import TASKS
for name in TASKS:
    task = TASKS.get(name)
    rows = task.rows(5, 6, max(256, task.min_length))
    print(name, hashlib.sha256(rows.input_ids.tobytes()).hexdigest())
"""
# First bytes of the hash of these rows. A change here is a change of every score: raise the task's version.
GOLDEN = {
    "ruler/niah_multikey_1": "53c192eba53d10ae",
    "ruler/niah_multikey_1_8": "153773f55ca3a43c",
    "ruler/niah_single_2": "19e92db8deae5f73",
    "ruler/vt": "14b6db67963e0ea1",
    "ruler/vt_1": "e2c2123e1bafb161",
    "ruler/vt_4": "8c438b8861bc4386",
    "ruler/qa_1": "b6414b085f1043d1",
    "ruler/qa_2": "8fa7053acbd50c24",
    "mqar/mqar64": "9c8c735656a47e97",
}


def test_the_same_key_gives_the_same_bytes_in_another_process():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "77"}
    output = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment
    ).stdout
    here = {name: hashlib.sha256(_rows(name).tobytes()).hexdigest() for name in TASKS}
    assert dict(line.split() for line in output.splitlines()) == here


@pytest.mark.parametrize("name", GOLDEN)
def test_guarded_rows_are_those_of_their_version(name):
    ids = TASKS.get(name).rows(5, 6, LENGTH).input_ids
    assert hashlib.sha256(ids.tobytes()).hexdigest().startswith(GOLDEN[name])


@pytest.mark.parametrize("name", GOLDEN)
def test_a_guarded_row_does_not_depend_on_how_many_are_drawn(name):
    task = TASKS.get(name)
    many = task.rows(5, 8, 256)
    assert (many.input_ids[6] == task.row(5, 6, 256).input_ids[0]).all()
    assert (task.rows(5, 3, 256).input_ids == many.input_ids[:3]).all()


def test_rows_do_not_touch_the_global_random_state():
    before = np.random.get_state()[1].copy()
    for name in TASKS:
        TASKS.get(name).rows(1, 2, max(LENGTH, TASKS.get(name).min_length))
    assert (np.random.get_state()[1] == before).all()


def _rows(name):
    task = TASKS.get(name)
    return task.rows(5, 6, max(LENGTH, task.min_length)).input_ids
