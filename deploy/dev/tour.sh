#!/usr/bin/env bash
# The main job on a real local cluster: create a bucket, put, list, get and verify real files, then say what to try next.
# usage: tour.sh PORT DIR        (called by `make run`; `ais` must be on PATH)
set -euo pipefail
port=$1 dir=$2
export AIS_ENDPOINT="http://127.0.0.1:$port"
bucket="ais://tour"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$'; printf ' %q' "$@"; echo; "$@"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "1. A cluster of real processes on this machine"
run ais playground start --port "$port" --dir "$dir" --wait
run ais show cluster

say "2. A bucket with real files: this repository's documents and a 256 MiB file"
mkdir "$work/in"
cp -r docs "$work/in/docs"
head -c $((256 * 1024 * 1024)) /dev/urandom > "$work/in/random-256MiB.bin"
ais bucket rm "$bucket" --yes >/dev/null 2>&1 || true
run ais bucket create "$bucket"
run ais put "$work/in" "$bucket" --recursive

say "3. List"
run ais ls "$bucket" --limit 10
run ais bucket summary "$bucket"

say "4. Get everything back and compare byte for byte"
mkdir "$work/out"
run ais get "$bucket" "$work/out" --prefix ""
run diff -r "$work/in" "$work/out"
echo "identical"

cat <<END

The cluster keeps serving:
  native API     $AIS_ENDPOINT/v1
  S3             $AIS_ENDPOINT
  metrics        $AIS_ENDPOINT/metrics

Try next:
  export AIS_ENDPOINT=$AIS_ENDPOINT PATH="\$PWD/.venv/bin:\$PATH"
  curl -L -X PUT $AIS_ENDPOINT/v1/objects/tour/hello.txt -T README.md
  curl -L $AIS_ENDPOINT/v1/objects/tour/hello.txt
  curl -L $AIS_ENDPOINT/ais/tour
  export AWS_ENDPOINT_URL=$AIS_ENDPOINT AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_REGION=us-east-1
  aws s3 ls s3://tour --recursive
  aws s3 cp README.md s3://tour/
  ais show cluster
  ais playground status
  make stop        (data stays; 'make run' brings it back)
  make clean       (removes everything)
END
