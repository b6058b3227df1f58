#!/usr/bin/env bash
# Prints the folder of PostgreSQL's server programs, for the tests that start a server of their own.
# Installs Debian's package by apt-get where there is none (no cluster is made, nothing is started);
# with --find it only looks. What it cannot do it says in one sentence.
set -euo pipefail

# The SQL of the store is kept to this version's.
needed=13

fail() {
    printf 'telemetra: %s\n' "$*" >&2
    exit 1
}

# Whether the programs are in folder $1, and new enough.
is_server() {
    local program major
    for program in initdb pg_ctl postgres; do
        [ -x "$1/$program" ] || return 1
    done
    major=$("$1/postgres" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p')
    [ -n "$major" ] && [ "$major" -ge "$needed" ]
}

find_server() {
    local folder
    while read -r folder; do
        if [ -n "$folder" ] && is_server "$folder"; then
            printf '%s\n' "$folder"
            return 0
        fi
    done < <(
        tr : '\n' <<<"$PATH"
        # Debian keeps its versions side by side and off the PATH, as others do.
        printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV
        pg_config --bindir 2>/dev/null || true
    )
    return 1
}

if find_server; then
    exit 0
fi
missing="PostgreSQL's server programs, version $needed or newer, are missing (initdb, pg_ctl, postgres)"
[ "${1:-}" != --find ] || fail "$missing"
command -v apt-get >/dev/null || fail "$missing: install PostgreSQL with your package manager"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "$missing: run  apt-get install postgresql  as root"
    as_root=(sudo)
fi
log=$(mktemp)
kept=$(mktemp)
settings=/etc/postgresql-common/createcluster.conf
# The machine's own setting, changed below, is put back.
finish() {
    [ ! -s "$kept" ] || "${as_root[@]}" cp "$kept" "$settings"
    rm -f "$log" "$kept"
}
trap finish EXIT
apt() {
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@" >"$log" 2>&1; then
        cat "$log" >&2
        fail "$missing, and  apt-get $*  failed"
    fi
}

printf "telemetra: installing PostgreSQL for the tests (Debian's package, no cluster)\n" >&2
apt update
# The package makes and starts a cluster unless this says no.
apt install -y --no-install-recommends postgresql-common
[ ! -e "$settings" ] || cp "$settings" "$kept"
printf 'create_main_cluster = false\n' | "${as_root[@]}" tee -a "$settings" >/dev/null
apt install -y --no-install-recommends postgresql
find_server || fail "PostgreSQL was installed, but $missing still"
