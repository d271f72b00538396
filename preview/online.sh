#!/usr/bin/env bash
# Previews the stacks against their clusters, with the state, the secrets and the plugin that a deployment uses: preview/online.sh OUT [STACK...]
# For branches that are trusted with them. OUT gets <stack>.json and <stack>.md. Exit code: 1 if a stack must not be merged as it is, 2 if it could not be told.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { echo "usage: preview/online.sh OUT [STACK...]" >&2; exit 2; }
out=$1; shift
[ $# -gt 0 ] || set -- dc dr
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/preview" ./preview
result=0
for stack in "$@"; do
	# A preview that fails prints what it failed with.
	pulumi preview --json --non-interactive --stack "$stack" >"$out/$stack.json" || true
	code=0
	"$work/preview" comment --stack "$stack" --against "the state and the cluster of \`$stack\`" "$out/$stack.json" >"$out/$stack.md" || code=$?
	[ $code -le $result ] || result=$code
done
exit $result
