#!/usr/bin/env bash
# Records a connection storm: one process that connects to itself as fast as it can. Called by `cargo xtask sample-traces`.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The trace names the program by its path, which should not be that of a build.
cp "${WORKLOAD:?}" "$scratch/workload"
"${AFTERTRACE:?}" record -o "${1:?the trace directory}" --quiet -- "$scratch/workload" connections 5000 1
