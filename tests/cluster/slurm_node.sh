#!/bin/sh
# Start a Slurm of one node, this machine, from Debian's packages slurm-wlm and munge, with its files in a folder.
#
#   sh tests/cluster/slurm_node.sh start FOLDER    then: export SLURM_CONF=FOLDER/slurm.conf
#   sh tests/cluster/slurm_node.sh stop FOLDER
#
# It has 2 cores and a partition for jobs that are preempted by those of another partition, and runs as root.
set -eu
action=$1
folder=$(realpath -m "$2")
host=$(hostname -s)

stop() {
    for name in slurmd slurmctld munged; do
        if [ -f "$folder/$name.pid" ]; then
            kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
        fi
    done
}

start() {
    mkdir -p "$folder/state" "$folder/spool"
    chmod 755 "$folder"
    key=$folder/munge.key
    [ -f "$key" ] || (umask 077 && head -c 1024 /dev/urandom >"$key")
    munged --key-file="$key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" --force
    cat >"$folder/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$host
SlurmctldPort=${SLURM_TEST_PORT:-16817}
SlurmdPort=$((${SLURM_TEST_PORT:-16817} + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
MinJobAge=300
NodeName=$host CPUs=2 RealMemory=8192 State=UNKNOWN
PartitionName=low Nodes=$host Default=YES MaxTime=01:00:00 PriorityTier=1 State=UP
PartitionName=high Nodes=$host MaxTime=01:00:00 PriorityTier=10 State=UP
END
    export SLURM_CONF="$folder/slurm.conf"
    slurmctld
    slurmd
    for _ in $(seq 60); do
        if sinfo -h -o %T 2>/dev/null | grep -q idle; then
            sinfo
            return
        fi
        sleep 1
    done
    tail -n 20 "$folder/slurmctld.log" "$folder/slurmd.log" >&2
    echo "Slurm did not start" >&2
    return 1
}

$action
