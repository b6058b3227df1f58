#!/usr/bin/env bash
# Prints what the tests need to start an Apache Kafka of their own and to speak to it by clients that are not ours, a
# line each: the folder of Kafka's jars, Java's program, kcat, a Python that has confluent-kafka.
# Fetches and installs what is missing: the jars by Maven and the Python package by pip, each once, into a cache
# outside the checkout; Java, Maven, kcat and Python as Debian's packages. Nothing is started.
# With --find it only looks; with --version 3.9.1 it is that Kafka. What it cannot do it says in one sentence.
set -euo pipefail

version=4.1.0
java_needed=17
python_client=2.16.1
# What prints to standard error what the broker has to say.
log_binding=1.7.36

fail() {
    printf 'telemetra: %s\n' "$*" >&2
    exit 1
}

only_look=
while [ $# -gt 0 ]; do
    case $1 in
    --find) only_look=1 ;;
    --version)
        [ $# -ge 2 ] || fail "--version needs one of Kafka's, as 4.1.0"
        version=$2
        shift
        ;;
    *) fail "kafka.sh knows --find and --version, not '$1'" ;;
    esac
    shift
done
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "--version needs one of Kafka's, as 4.1.0, not '$version'"

cache="${XDG_CACHE_HOME:-${HOME:?set HOME or XDG_CACHE_HOME}/.cache}/telemetra"
kafka="$cache/kafka-$version"
clients="$cache/kafka-python-$python_client"

# Whether program $1 is a Java that is new enough.
is_java() {
    local major
    major=$("$1" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1) || return 1
    [ -n "$major" ] && [ "$major" -ge "$java_needed" ]
}

find_java() {
    local program
    while read -r program; do
        if [ -x "$program" ] && is_java "$program"; then
            printf '%s\n' "$program"
            return 0
        fi
    done < <(
        [ -z "${JAVA_HOME:-}" ] || printf '%s\n' "$JAVA_HOME/bin/java"
        command -v java || true
        # Debian keeps its versions side by side, as others do.
        printf '%s\n' /usr/lib/jvm/*/bin/java | sort -rV
    )
    return 1
}

find_jars() {
    [ -d "$kafka" ] && printf '%s\n' "$kafka"
}

find_kcat() {
    command -v kcat
}

# It was made for a Python that may be gone since.
find_python() {
    "$clients/bin/python" -c 'import confluent_kafka' 2>/dev/null && printf '%s\n' "$clients/bin/python"
}

find_all() {
    find_jars && find_java && find_kcat && find_python
}

fail_if_missing() {
    find_jars >/dev/null || fail "Apache Kafka $version is not in $kafka"
    find_java >/dev/null || fail "Java $java_needed or newer is missing"
    find_kcat >/dev/null || fail "kcat is missing"
    find_python >/dev/null || fail "Python's confluent-kafka $python_client is not in $clients"
}

if found=$(find_all); then
    printf '%s\n' "$found"
    exit 0
fi
[ -z "$only_look" ] || fail_if_missing

# One at a time, where that can be had; two at once do the same work, and the later result stays.
mkdir -p "$cache" || fail "the cache $cache cannot be made"
if command -v flock >/dev/null; then
    exec 9>"$cache/kafka.lock"
    flock 9
fi
work=$(mktemp -d "$cache/kafka-new-XXXXXX") || fail "the cache $cache cannot be written"
trap 'rm -rf "$work"' EXIT
log="$work/log"

# Runs a command; what it has written is shown if it fails.
quietly() {
    "$@" >"$log" 2>&1 9>&- || {
        cat "$log" >&2
        return 1
    }
}

is_updated=
# Debian's package $1, for want of $2.
install() {
    local as_root=()
    command -v apt-get >/dev/null || fail "$2 is missing: install it with your package manager"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "$2 is missing: run  apt-get install $1  as root"
        as_root=(sudo)
    fi
    printf 'telemetra: installing %s for the tests with Kafka (%s)\n' "$2" "$1" >&2
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq)
    [ -n "$is_updated" ] || quietly "${apt[@]}" update || fail "$2 is missing, and  apt-get update  failed"
    is_updated=1
    quietly "${apt[@]}" install -y --no-install-recommends "$1" || fail "$2 is missing, and  apt-get install $1  failed"
}

# The broker, its tools without Connect, and one binding of its log.
write_pom() {
    local dependency='<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version><exclusions>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId></exclusion>
        <exclusion><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId></exclusion>
        </exclusions></dependency>\n'
    printf '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
        <groupId>telemetra</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>
        <packaging>pom</packaging><dependencies>\n'
    # shellcheck disable=SC2059 # it is the format
    printf "$dependency" org.apache.kafka kafka_2.13 "$version" org.apache.kafka kafka-tools "$version" \
        org.slf4j slf4j-simple "$log_binding"
    printf '</dependencies></project>\n'
}

# Puts folder $1 where $2 says, whole or not at all. Another that came first is as good.
keep() {
    [ -d "$2" ] || mv "$1" "$2" 2>/dev/null || [ -d "$2" ] || fail "$1 cannot be moved to $2"
}

if ! find_java >/dev/null; then
    install default-jre-headless "Java $java_needed or newer"
    find_java >/dev/null || fail "the Java that was installed is older than $java_needed: install a newer one"
fi
if ! find_jars >/dev/null; then
    command -v mvn >/dev/null || install maven Maven
    printf 'telemetra: fetching Apache Kafka %s for the tests (45 MB, once)\n' "$version" >&2
    write_pom >"$work/pom.xml"
    quietly mvn -B -q -f "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies \
        -DincludeScope=runtime "-DoutputDirectory=$work/jars" || fail "Maven cannot fetch Apache Kafka $version"
    keep "$work/jars" "$kafka"
fi
find_kcat >/dev/null || install kcat kcat
if ! find_python >/dev/null; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv "Python 3 with venv"
    printf 'telemetra: fetching confluent-kafka %s for the tests (4 MB, once)\n' "$python_client" >&2
    quietly python3 -m venv "$work/python" || fail "Python cannot make a venv"
    quietly "$work/python/bin/python" -m pip install -q --only-binary :all: "confluent-kafka==$python_client" ||
        fail "pip cannot fetch confluent-kafka $python_client"
    # One that no longer works is in the way; nobody can be using it.
    rm -rf "$clients"
    keep "$work/python" "$clients"
fi

fail_if_missing
find_all
