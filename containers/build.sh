#!/usr/bin/env bash
# Build the image: containers/build.sh OUT.sif. Run from the root of the clone, mostly by `make image`.
#   BASE=docker      an official python image and packages from pip's index (default)
#   BASE=debootstrap Debian from the mirror of this machine's apt, packages as wheels from this machine's pip: needs no
#                    registry, and no network inside the build; root, Debian 12 and its Python 3.11
#   TORCH="..."      options for the installation of torch, such as an index that holds its builds without CUDA
#   EXTRAS="..."     extras of pyproject.toml
set -euo pipefail
out=${1:?usage: containers/build.sh OUT.sif}
base=${BASE:-docker}
squash=${SQUASH:--comp zstd}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
arguments=(--build-arg "EXTRAS=${EXTRAS:-}")
binds=()
case $base in
docker) arguments+=(--build-arg "TORCH=${TORCH:-}") ;;
debootstrap)
  . /etc/os-release
  mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' "Created-By: Packages" |
    awk -v code="$VERSION_CODENAME" '$2 == code { print $1; exit }')
  apptainer build --mksquashfs-args "$squash" --build-arg "MIRROR=$mirror" "$work/base.sif" containers/base.def
  python=${PYTHON:-python3}
  # shellcheck disable=SC2086  # options and extras are words
  "$python" containers/requirements.py ${EXTRAS:-} > "$work/requirements.txt"
  wheel=("$python" -m pip wheel --quiet --disable-pip-version-check --wheel-dir "$work/wheels")
  # shellcheck disable=SC2086
  "${wheel[@]}" ${TORCH:-} "$(grep ^torch== "$work/requirements.txt")"
  "${wheel[@]}" --find-links "$work/wheels" --constraint envs/constraints.txt --requirement "$work/requirements.txt"
  arguments+=(--build-arg BOOTSTRAP=localimage --build-arg "FROM=$work/base.sif")
  binds=(--bind "$work/wheels:/mnt")
  ;;
*)
  echo "BASE=$base: docker or debootstrap" >&2
  exit 2
  ;;
esac
apptainer build --force "${binds[@]}" "${arguments[@]}" --mksquashfs-args "$squash" "$out.new" containers/stgrpo.def
mv "$out.new" "$out"
