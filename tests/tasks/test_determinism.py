import hashlib
import os
import subprocess
import sys

import numpy as np

from synapnet_edge.tasks import TASKS

SCRIPT = """
import hashlib
from synapnet_edge.tasks import TASKS
for name in TASKS:
    print(name, hashlib.sha256(TASKS.get(name).rows(5, 6, 96).input_ids.tobytes()).hexdigest())
"""


def test_the_same_key_gives_the_same_bytes_in_another_process():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "77"}
    output = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment
    ).stdout
    here = {
        name: hashlib.sha256(TASKS.get(name).rows(5, 6, 96).input_ids.tobytes()).hexdigest() for name in TASKS
    }
    assert dict(line.split() for line in output.splitlines()) == here


def test_a_guarded_row_does_not_depend_on_how_many_are_drawn():
    task = TASKS.get("ruler/niah_multikey_1")
    many = task.rows(5, 8, 256)
    assert (many.input_ids[6] == task.row(5, 6, 256).input_ids[0]).all()
    assert (task.rows(5, 3, 256).input_ids == many.input_ids[:3]).all()


def test_rows_do_not_touch_the_global_random_state():
    before = np.random.get_state()[1].copy()
    for name in TASKS:
        TASKS.get(name).rows(1, 2, 96)
    assert (np.random.get_state()[1] == before).all()
