#!/usr/bin/env bash
# slice.sh LOG HISTORY COMMAND...: run one slice of a training, as long as its job may take.
# What it says stands in LOG, which Snakemake deletes before each attempt, and is appended to HISTORY, which stays.
set -euo pipefail
log=$1 history=$2
shift 2
job=${SLURM_JOB_ID:-}
echo "--- $(date -u +%FT%TZ)${job:+ Slurm job $job} on ${SLURMD_NODENAME:-$(hostname)}" >> "$history"
status=0
"$@" 2>&1 | tee -a "$history" > "$log" || status=$?
# 75: the job's time is used up, and a checkpoint is written. Slurm starts the same job again, so that Snakemake goes on
# waiting for it and no retry is spent. Where that is not allowed, the job has failed, and a retry goes on.
if [ "$status" = 75 ] && [ -n "$job" ] && scontrol requeue "$job"; then
  sleep 300 # Slurm ends this job before that
fi
exit "$status"
