#!/bin/sh
# Renew the lock files: every version pinned, every file by its hash, no host named.
# dev is solved first and constrains the others, so that the three never disagree.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
common="--generate-hashes --universal --python-version 3.11 --no-header --no-annotate -q"
# shellcheck disable=SC2086
$uv pip compile pyproject.toml --extra node --extra dev requirements/build.in $common "$@" -o requirements/dev.lock
for part in "base pyproject.toml" "node pyproject.toml --extra node" "web pyproject.toml --extra web" "build requirements/build.in"; do
  name=${part%% *}
  # shellcheck disable=SC2086
  $uv pip compile ${part#* } -c requirements/dev.lock $common -o "requirements/$name.lock"
done
if grep -nE 'https?://' requirements/*.lock; then
  echo "a lock file names a host; it must not" >&2
  exit 1
fi
