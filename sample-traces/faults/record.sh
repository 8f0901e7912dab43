#!/usr/bin/env bash
# Records a command with faults in it: refused connections, a crash, a killed process. Called by `cargo xtask sample-traces`.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The trace names the program by its path, which should not be that of a build.
cp "${WORKLOAD:?}" "$scratch/workload"
mkdir "$scratch/files"
"${AFTERTRACE:?}" record -o "${1:?the trace directory}" --quiet -- "$scratch/workload" demo "$scratch/files" 5
