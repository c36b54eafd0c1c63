#!/usr/bin/env bash
# Runs in the guest: each step, its output and its status into files of the folder $1.
#   run-steps.sh FOLDER STEP...
set -uo pipefail
folder=$1
shift
# An emulated processor takes seconds to compile what a flyd command loads: once is enough.
export NODE_COMPILE_CACHE=/tmp/node-compile-cache
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
for step in "$@"; do
  started=$SECONDS
  bash -euo pipefail "$here/steps/$step.sh" >"$folder/$step.output" 2>&1
  code=$?
  echo "$code $((SECONDS - started))" >"$folder/$step.status"
done
