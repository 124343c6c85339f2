#!/usr/bin/env bash
# Stop what start_slurm.sh STATE started, and take its configuration away.
set -uo pipefail
state=${1:?usage: stop_slurm.sh STATE}
scancel --user="$(id -un)" 2> /dev/null
for file in "$state"/slurmd-*.pid "$state"/slurmctld.pid "$state"/munged.pid; do
  [ -s "$file" ] || continue
  process=$(cat "$file")
  grep -qE 'slurm|munge' "/proc/$process/cmdline" 2> /dev/null || continue # the number may be another's by now
  kill "$process" 2> /dev/null
  for _ in $(seq 50); do
    kill -0 "$process" 2> /dev/null || break
    sleep 0.1
  done
done
for file in slurm.conf gres.conf; do
  [ "$(readlink "/etc/slurm/$file")" = "$state/$file" ] && rm -f "/etc/slurm/$file"
done
exit 0
