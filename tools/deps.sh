#!/bin/sh
# Makes sure that what the build needs is here: installs missing Debian packages when it may,
# otherwise prints the one command that does. Quiet when nothing is missing.
set -u

packages="gcc make pkg-config libjpeg-dev libpng-dev libarchive-dev libzstd-dev libxxhash-dev \
libcjson-dev libssl-dev libavif-dev libdnnl-dev libcmocka-dev zstd"

if ! command -v dpkg-query >/dev/null 2>&1; then
    if ! pkg-config --exists libjpeg libpng libarchive libzstd libxxhash libcjson libcrypto; then
        echo "deps: this is not a Debian system: install the development files of libjpeg-turbo," \
             "libpng, libarchive, zstd, xxHash, cJSON and OpenSSL (optional: libavif, oneDNN," \
             "cmocka), then run make again" >&2
        exit 3
    fi
    exit 0
fi

missing=""
for p in $packages; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as="sudo"
else
    echo "deps: missing packages; run this once, then make again:" >&2
    echo "    sudo apt-get install -y$missing" >&2
    exit 3
fi
echo "deps: installing$missing" >&2
if ! { $as apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq $missing; } \
    >/dev/null 2>&1; then
    echo "deps: installing failed; run this by hand to see why:" >&2
    echo "    ${as:+sudo }apt-get install -y$missing" >&2
    exit 3
fi
