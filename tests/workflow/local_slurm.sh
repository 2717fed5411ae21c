#!/usr/bin/env bash
# A SLURM of one node on this machine, for tests/workflow/test_slurm.py. For a machine that is thrown away afterwards (a
# container, a runner of the CI): as root on Debian or Ubuntu it installs SLURM where it is missing, and overwrites its
# configuration.
#
#   bash tests/workflow/local_slurm.sh && python -m pytest -m slurm tests/workflow/test_slurm.py
#   bash tests/workflow/local_slurm.sh stop
set -euo pipefail

if [ "$(id -u)" != 0 ]; then
  echo "error: only root can set up SLURM" >&2
  exit 1
fi
stop() {
  for name in slurmd slurmctld munged; do
    file=/run/local_slurm/$name.pid
    if [ -f "$file" ]; then
      kill "$(cat "$file")" 2>/dev/null || true
      rm -f "$file"
    fi
  done
}
if [ "${1:-}" = stop ]; then
  stop
  exit 0
fi
missing=0
for name in slurmctld slurmd sbatch munged; do
  command -v $name >/dev/null || missing=1
done
if [ $missing = 1 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
fi
if sinfo -h >/dev/null 2>&1 && [ ! -d /run/local_slurm ]; then
  echo "error: a SLURM that this script has not started answers here; it is left as it is" >&2
  exit 1
fi
stop

host=$(hostname -s)
mkdir -p /etc/slurm /run/local_slurm /run/munge /var/spool/slurmctld /var/spool/slurmd /var/log/slurm
chown munge: /run/munge
# The default place is a must: the executor plugin drops SLURM_CONF. config_overrides: the node may claim more than the
# machine has, so that what the profile asks for fits. MinJobAge: squeue has to remember a job longer than the polling
# takes. The graphics card is a file that exists; it shows what is reserved, not that anything computes on it.
cat >/etc/slurm/slurm.conf <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
MinJobAge=300
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/local_slurm/slurmctld.pid
SlurmdPidFile=/run/local_slurm/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
echo "Name=gpu File=/dev/null" >/etc/slurm/gres.conf # without a File the node is invalid

su -s /bin/sh munge -c "/usr/sbin/munged --force --pid-file=/run/munge/munged.pid"
cp /run/munge/munged.pid /run/local_slurm/munged.pid
slurmctld
slurmd
for _ in $(seq 60); do
  if sinfo -h -o %T 2>/dev/null | grep -q idle; then
    sinfo
    exit 0
  fi
  sleep 0.5
done
echo "error: no idle node after 30 s; see /var/log/slurm" >&2
sinfo >&2 || true
exit 1
