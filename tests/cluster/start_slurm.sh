#!/usr/bin/env bash
# Start munge, slurmctld and two slurmd with four fake GPUs each, on this machine's loopback: start_slurm.sh STATE.
# Root, no systemd needed; up in about a second. The configuration must stand where Slurm looks by default, because the
# Snakemake plugin's job step drops SLURM_CONF; a configuration that is not ours is never touched.
set -euo pipefail
state=${1:?usage: start_slurm.sh STATE}
here=$(cd "$(dirname "$0")" && pwd)
for file in slurm.conf gres.conf; do
  link=/etc/slurm/$file
  other=$(dirname "$(readlink "$link")")
  # What killed tests left is taken away: their slurmctld is dead (of a zombie nothing is left to read), a slurmd may live.
  if [ -s "$other/munge.key" ] && [ -s "$other/slurmctld.pid" ] &&
    ! grep -q slurmctld "/proc/$(cat "$other/slurmctld.pid")/cmdline" 2> /dev/null; then
    "$here/stop_slurm.sh" "$other"
  fi
  if [ -e "$link" ] && [ "$other" != "$state" ]; then
    echo "$link belongs to another Slurm; not touched" >&2
    exit 1
  fi
done
mkdir -p "$state/ctld" "$state/spool-n1" "$state/spool-n2" /etc/slurm
chmod 755 "$state"
[ -s "$state/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom > "$state/munge.key")
munged --force --key-file="$state/munge.key" --socket="$state/munge.socket" --pid-file="$state/munged.pid" \
  --log-file="$state/munged.log" --seed-file="$state/munged.seed" 2> "$state/munged.err"
sed -e "s|@HOST@|$(hostname -s)|g; s|@STATE@|$state|g" "$here/slurm.conf.in" > "$state/slurm.conf"
# Fake GPUs: any device files will do; Slurm hands them out, and sets CUDA_VISIBLE_DEVICES, as on a real node.
echo "NodeName=n[1-2] Name=gpu File=/dev/tty[0-3]" > "$state/gres.conf"
ln -sfn "$state/slurm.conf" /etc/slurm/slurm.conf
ln -sfn "$state/gres.conf" /etc/slurm/gres.conf
slurmctld
slurmd -N n1
slurmd -N n2
for _ in $(seq 300); do
  up=$(timeout 3 sinfo -h -N -p gpu -t idle -o %N 2> /dev/null | sort -u | wc -l) || up=0
  [ "$up" = 2 ] && exit 0
  sleep 0.1
done
echo "Slurm did not come up; see $state/*.log" >&2
tail -n 5 "$state"/*.log >&2
exit 1
