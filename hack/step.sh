#!/usr/bin/env bash
# Runs a command that may take long. One that is done within two seconds stays
# silent; of any other it says what is being done and how long that usually
# takes, then the time elapsed every 20 seconds. Ends with the command's code.
#
# usage: hack/step.sh WHAT USUALLY COMMAND [ARG...]
set -uo pipefail

if (($# < 3)); then
	echo "usage: hack/step.sh WHAT USUALLY COMMAND [ARG...]" >&2
	exit 2
fi
what=$1 usually=$2
shift 2

# tick waits by read, not by sleep: no child outlives it and holds the output.
tick() {
	local never
	exec {never}<> <(:)
	read -rt 2 -u "$never"
	echo "==> $what ($usually)" >&2
	while ! read -rt 20 -u "$never"; do
		echo "    $what: ${SECONDS} s so far" >&2
	done
}

SECONDS=0
tick &
ticker=$!
trap 'kill "$ticker" 2>/dev/null; wait "$ticker" 2>/dev/null' EXIT
"$@"
code=$?
if ((code != 0)); then
	echo "==> $what: failed after ${SECONDS} s" >&2
elif ((SECONDS > 2)); then
	echo "==> $what: done in ${SECONDS} s" >&2
fi
exit "$code"
