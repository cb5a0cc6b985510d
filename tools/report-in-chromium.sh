#!/bin/sh
# Opens a report in headless Chromium: how long it takes beyond an empty page (load, layout, script
# and paint; the median of five, in seconds), and what it looks like on a desktop, in the dark and
# on a phone.
#
#   KERNELSMITH_PAGE=/tmp/200.html cargo test -p kernelsmith-lab two_hundred_runs
#   tools/report-in-chromium.sh /tmp/200.html /tmp/shots
set -eu
page=$(realpath "$1")
out=${2:-.}
chromium=${CHROMIUM:-chromium}
mkdir -p "$out"
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
echo '<!doctype html><title>empty</title>' >"$profile/empty.html"

shot() { # FILE.png PAGE FLAGS…
  file=$1
  from=$2
  shift 2
  rm -rf "$profile/user"
  "$chromium" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars \
    --user-data-dir="$profile/user" --screenshot="$file" "$@" "file://$from" >/dev/null 2>&1
}

seconds() { # PAGE
  for _ in 1 2 3 4 5; do
    start=$(date +%s.%N)
    shot "$profile/timed.png" "$1" --window-size=1280,900
    echo "$(date +%s.%N) $start" | awk '{ print $1 - $2 }'
  done | sort -n | sed -n 3p
}

empty=$(seconds "$profile/empty.html")
whole=$(seconds "$page")
echo "$(wc -c <"$page") bytes, $(echo "$whole $empty" | awk '{ printf "%.2f", $1 - $2 }') s beyond an empty page ($whole s less $empty s)"
shot "$out/desktop.png" "$page" --window-size=1280,2400
shot "$out/dark.png" "$page" --window-size=1280,2400 --blink-settings=preferredColorScheme=0
shot "$out/phone.png" "$page" --window-size=500,2400
