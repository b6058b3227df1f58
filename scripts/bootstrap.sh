#!/usr/bin/env bash
# Makes sure that a build can start: Rust new enough, and a C compiler for the SQLite that is compiled in.
# Installs the compiler by apt-get where that is allowed; everything else it says in one sentence.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'telemetra: %s\n' "$*" >&2
    exit 1
}

# rustup's folder is not on the path of a shell that was open while it was installed.
if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin/cargo" ]; then
    fail "cargo is installed but not on the PATH: run  . \"${CARGO_HOME:-${HOME:-/root}/.cargo}/env\"  and try again"
fi
command -v cargo >/dev/null && command -v rustc >/dev/null ||
    fail "Rust is missing: install it as https://rustup.rs says, open a new shell and try again"

needed=$(sed -n 's/^rust-version = "\([0-9.]*\)"$/\1/p' Cargo.toml)
found=$(rustc --version | sed -n 's/^rustc \([0-9.]*\).*/\1/p')
[ -n "$needed" ] && [ -n "$found" ] || fail "cannot tell the version of rustc ('$(rustc --version)')"
if [ "$(printf '%s\n%s\n' "$needed" "$found" | sort -V | head -n 1)" != "$needed" ]; then
    fail "rustc $needed or newer is needed, this is $found: run  rustup update stable"
fi

if command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || [ -n "${CC:-}" ]; then
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    fail "a C compiler is missing (SQLite is compiled in): install gcc or clang with your package manager"
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "a C compiler is missing: run  apt-get install gcc libc6-dev  as root"
    as_root=(sudo)
fi
printf 'telemetra: installing a C compiler for the SQLite that is compiled in (gcc, libc6-dev)\n' >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null
command -v cc >/dev/null || fail "gcc was installed but cc is still not on the PATH"
