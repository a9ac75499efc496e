#!/bin/sh
# Bundles what the pages need into ../static, or into the folder given. The result is committed: no Node at run time.
set -eu
cd "$(dirname "$0")"
out=${1:-../static}
../../../node_modules/.bin/esbuild site.ts wallet.ts wizard.ts site.css --bundle --minify --target=es2022,chrome120,firefox121,safari17.4 \
    --format=esm --charset=utf8 --log-level=warning --outdir="$out"
cp mark.svg "$out/"
