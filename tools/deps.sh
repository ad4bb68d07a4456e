#!/bin/sh
# Makes sure that what the build needs is here: deps.sh [test] [fuzz]. Installs missing Debian
# packages when it may, otherwise prints the one command that does. Quiet when nothing is missing.
#
# Without the optional parts (AVIF, oneDNN; cmocka and the zstd tool unless `test` is asked for;
# clang and its fuzzer, looked for with `fuzz` alone) everything else still builds, so their
# absence is told and is no failure.
set -u

required="gcc make pkg-config libjpeg-dev libpng-dev zlib1g-dev libarchive-dev libzstd-dev \
libxxhash-dev libcjson-dev libssl-dev"
optional="libavif-dev libdnnl-dev"
testing="libcmocka-dev zstd"
case " $* " in
*" test "*) required="$required $testing" ;;
*) optional="$optional $testing" ;;
esac
case " $* " in
*" fuzz "*) optional="$optional clang libclang-rt-14-dev libomp-dev" ;;
esac

# Is what a package brings here, wherever it came from?
have() {
    case $1 in
    gcc) command -v ${CC:-cc} ;;
    make | zstd | pkg-config) command -v "$1" ;;
    libjpeg-dev) pkg-config --exists libjpeg ;;
    libpng-dev) pkg-config --exists libpng ;;
    zlib1g-dev) pkg-config --exists zlib ;;
    libarchive-dev) pkg-config --exists libarchive ;;
    libzstd-dev) pkg-config --exists libzstd ;;
    libxxhash-dev) pkg-config --exists libxxhash ;;
    libcjson-dev) pkg-config --exists libcjson ;;
    libssl-dev) pkg-config --exists libcrypto ;;
    libavif-dev) pkg-config --exists libavif ;;
    libcmocka-dev) pkg-config --exists cmocka ;;
    clang) command -v "${FUZZ_CC:-clang}" ;;
    libclang-rt-14-dev | libomp-dev) sh tests/fuzz/run.sh --can "${FUZZ_CC:-clang}" ;;
    libdnnl-dev) echo '#include <dnnl.h>' | ${CC:-cc} ${CPPFLAGS:-} -E - ;;
    esac >/dev/null 2>&1
}

missing() {
    for p in "$@"; do
        have "$p" || printf ' %s' "$p"
    done
}

need=$(missing $required)
want=$(missing $optional)
[ -n "$need$want" ] || exit 0

as=""
if [ "$(id -u)" != 0 ]; then
    as="sudo "
fi
install="${as}apt-get install -y$need$want"

if ! command -v apt-get >/dev/null 2>&1; then
    echo "deps: this is not a Debian system; install what these Debian packages hold:$need$want" >&2
elif [ -z "$as" ] || sudo -n true 2>/dev/null; then
    echo "deps: installing$need$want" >&2
    if { ${as}apt-get update -qq &&
        ${as}env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $need $want; } \
        </dev/null >/dev/null 2>&1; then
        exit 0
    fi
    echo "deps: installing failed; run this by hand to see why:" >&2
    echo "    $install" >&2
else
    echo "deps: packages are missing; run this once, then make again:" >&2
    echo "    $install" >&2
fi
if [ -n "$need" ]; then
    exit 3
fi
echo "deps: going on without$want" >&2
