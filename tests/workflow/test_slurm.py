"""The SLURM profile against a real SLURM; tests/workflow/local_slurm.sh sets one up on a spare machine."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

MISSING = "bash tests/workflow/local_slurm.sh sets one up, as root on a spare Debian machine"


@pytest.fixture
def slurm():
    """A SLURM that answers; gives what it remembers of a job."""
    pytest.importorskip("snakemake_executor_plugin_slurm")
    if not shutil.which("slurmctld"):
        pytest.skip(f"slurmctld is not installed; {MISSING}")
    answer = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
    if answer.returncode or not re.search("idle|mixed", answer.stdout):
        pytest.skip(f"no idle node of a SLURM answers here; {MISSING}")

    def job(number: str) -> dict[str, str]:
        shown = subprocess.run(
            ["scontrol", "show", "job", "-o", number], capture_output=True, text=True, check=True
        )
        return dict(part.split("=", 1) for part in shown.stdout.split() if "=" in part)

    return job


@pytest.mark.slurm
@pytest.mark.timeout(300)
def test_jobs_train_and_calibrate_inside_allocations(fresh, slurm, tmp_path):
    overlay = tmp_path / "two.yaml"
    curriculum = [{"length": 64, "steps": 4, "batch": 8, "readouts": 4}]
    overlay.write_text(yaml.safe_dump({"pretrain": {"processes": 2, "curriculum": curriculum}}))
    # The profile, and a card for one job, as device cuda would ask for it; training stays on the processor.
    settings = yaml.safe_load(
        (fresh.checkout / "workflow" / "profiles" / "slurm" / "config.yaml").read_text()
    )
    settings["set-resources"]["pretrain"]["gpu"] = 1
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "config.yaml").write_text(yaml.safe_dump(settings))
    stats = "results/calibrate/reference/seed42/stats.safetensors"
    here = type(fresh)(fresh.checkout, tmp_path)
    done = here.call(
        *(stats, "--workflow-profile", profile, "--latency-wait", "10"),
        *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"),
        configs=[overlay],
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-5000:]
    assert (tmp_path / stats).is_file()
    numbers = re.findall(r"SLURM jobid (\d+)", text)
    assert len(numbers) == 2, text[-5000:]
    trained, calibrated = (slurm(number) for number in numbers)
    assert trained["JobState"] == calibrated["JobState"] == "COMPLETED"
    # One processor per training process, the profile's minutes and memory, and the card that was asked for.
    assert trained["CPUs/Task"] == "2" and calibrated["CPUs/Task"] == "1"
    assert trained["TimeLimit"] == "12:00:00" and settings["set-resources"]["pretrain"]["runtime"] == 720
    assert calibrated["TimeLimit"] == "02:00:00" and settings["default-resources"]["runtime"] == 120
    assert f"mem={settings['set-resources']['pretrain']['mem_mb']}M" in trained["TRES"]
    assert "gpu:1" in trained["TresPerJob"] and "TresPerJob" not in calibrated
