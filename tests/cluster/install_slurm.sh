#!/usr/bin/env bash
# Install Slurm and munge from this machine's own package sources: Debian, root. Nothing is started.
set -euo pipefail
command -v slurmctld slurmd munged > /dev/null && exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge > /dev/null
slurmctld -V
