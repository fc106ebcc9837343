#!/bin/sh
# Says in its first line what is missing to build, and how to get it; prints nothing when all is there.
python=${PYTHON:-python3}
fail() { echo "$1"; exit 1; }

command -v "$python" >/dev/null 2>&1 ||
    fail "missing: Python 3.11 or newer ('$python' is not there); on Debian: apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "too old: $("$python" --version 2>&1), ledgerfill needs Python 3.11 or newer; name another with: make PYTHON=python3.12 ..."
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "missing: Python's venv module; on Debian: apt-get install python3-venv"
command -v cc >/dev/null 2>&1 ||
    fail "missing: a C compiler (cc); on Debian: apt-get install gcc libc6-dev, elsewhere the system's package"
command -v cargo >/dev/null 2>&1 ||
    fail "missing: cargo 1.88 or newer; on Debian 12: apt-get install cargo-web, elsewhere the system's package or rustup"
version=$(cargo --version 2>/dev/null | sed 's/^cargo \([0-9]*\)\.\([0-9]*\).*/\1 \2/')
set -- $version
[ "${1:-0}" -gt 1 ] || [ "${2:-0}" -ge 88 ] ||
    fail "too old: $(cargo --version 2>&1 | head -n 1), ledgerfill needs cargo 1.88 or newer; on Debian 12: apt-get install cargo-web, elsewhere the system's package or rustup"
