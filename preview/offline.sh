#!/usr/bin/env bash
# Previews the stacks of this checkout against a base, without a cluster, a state or a secret: preview/offline.sh BASE OUT [STACK...]
# BASE is a commit, branch or tag; OUT gets <stack>.json and <stack>.md. Exit code: 1 if a stack must not be merged as it is, 2 if it could not be told.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { echo "usage: preview/offline.sh BASE OUT [STACK...]" >&2; exit 2; }
base=$1 out=$2; shift 2
[ $# -gt 0 ] || set -- dc dr
commit=$(git rev-parse --verify --quiet "$base^{commit}") || { echo "there is no commit $base; CI must fetch it" >&2; exit 2; }
head=$(git rev-parse --short HEAD)
export REDIS_WAL_ENGINE_TOOLS=${REDIS_WAL_ENGINE_TOOLS:-$PWD/bin/engine}
[ -x "$REDIS_WAL_ENGINE_TOOLS/pulumi" ] || { echo "no $REDIS_WAL_ENGINE_TOOLS/pulumi; make engine-tools builds it" >&2; exit 2; }
mkdir -p "$out"; out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'git worktree remove --force "$work/base" 2>/dev/null || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/base" "$commit"
mkdir "$work/state"
go build -o "$work/preview" ./preview
go build -o "$work/infra" ./infra
cp "$work/preview" "$work/preview-base"; cp "$work/infra" "$work/infra-base"
# The base is realised by its own code, if that is another. One that is older than this command has none of it: then by this.
if ! git diff --quiet "$commit" HEAD -- '*.go' '*go.mod' '*go.sum' 'render/schema'; then
	(cd "$work/base" && go build -o "$work/infra-base" ./infra)
	[ ! -d "$work/base/preview" ] || (cd "$work/base" && go build -o "$work/preview-base" ./preview)
fi
result=0
for stack in "$@"; do
	"$work/preview-base" realise --project "$work/base" --program "$work/infra-base" --stack "$stack" --dir "$work/state" || exit 2
	"$work/preview" compare --program "$work/infra" --stack "$stack" --dir "$work/state" >"$out/$stack.json" || exit 2
	code=0
	"$work/preview" comment --stack "$stack" --way offline --against "\`${base#origin/}\` ($(git rev-parse --short "$commit"), realised offline; the head is $head)" "$out/$stack.json" >"$out/$stack.md" || code=$?
	[ $code -le $result ] || result=$code
done
exit $result
