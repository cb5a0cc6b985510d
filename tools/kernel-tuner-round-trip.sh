#!/usr/bin/env bash
# Round trips with Kernel Tuner itself: what `smith export` writes is read, tuned in simulation and
# validated by the library, and what the library writes comes back. Needs Python with
# `pip install kernel_tuner`; says so loudly and ends with 3 where it is not there.
# Usage: tools/kernel-tuner-round-trip.sh RUN    (SMITH and PYTHON name the programs)
set -euo pipefail
run=${1:?a run folder}
smith=${SMITH:-smith}
python=${PYTHON:-python3}
if ! "$python" -c 'import kernel_tuner' 2>/dev/null; then
    echo "SKIPPED: $python has no kernel_tuner, so no round trip was tested (pip install kernel_tuner)" >&2
    exit 3
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for format in cachefile t4 t1; do
    "$smith" export "$run" --format "$format" --out "$work/$format" > /dev/null
done
"$python" "$(dirname "$0")/kernel-tuner-round-trip.py" "$work"
# What the library wrote in simulation is a file like any other.
"$smith" import "$work"/library/*.json --run "$work/again" > /dev/null
"$smith" export "$work/again" --format cachefile --out "$work/last" > /dev/null
echo "imported what the library wrote: $(ls "$work"/library/*.json | wc -l) files"
