#!/usr/bin/env bash
# Installs what the tests need beyond the Rust toolchain, on Debian 12: PostgreSQL 15, npm's OpenID provider
# `oidc-provider` with a Node.js of its own, and Python's `psycopg`. Idempotent, and quick once everything is there.
#
# Packages come from Debian (as root, or through sudo); the rest goes into a cache folder under $HOME and touches
# nothing else. Debian's package starts a PostgreSQL cluster of its own on port 5432: the tests neither use nor need it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PASSGATE_TEST_CACHE:-$HOME/.cache/passgate-tests}

say() { printf 'tests/install.sh: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Prints each Debian package whose file or command is missing.
missing_packages() {
    [ -x /usr/lib/postgresql/15/bin/initdb ] || echo postgresql-15
    [ -x /usr/lib/postgresql/15/bin/psql ] || echo postgresql-client-15
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    command -v openssl >/dev/null || echo openssl
    command -v cc >/dev/null || echo build-essential
    [ -x /usr/bin/python3 ] || echo python3
    /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    [ -d /etc/ssl/certs ] || echo ca-certificates
}

install_packages() {
    local packages
    mapfile -t packages < <(missing_packages)
    [ "${#packages[@]}" -eq 0 ] && return
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "run this as root first: apt-get install --yes ${packages[*]}"
        as_root=(sudo)
    fi
    command -v apt-get >/dev/null || fail "these are missing, by their Debian names: ${packages[*]}"
    say "installing Debian packages: ${packages[*]}"
    "${as_root[@]}" apt-get update --quiet=2 || say "apt-get update failed; trying with the lists as they are"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet=2 --no-install-recommends "${packages[@]}" >&2
}

# Runs "$2..." only when the text of file "$1" is not what was installed last.
once_per() {
    local file=$1 stamp
    shift
    stamp="$cache/$(basename "$(dirname "$file")")-$(basename "$file").installed"
    cmp --silent "$file" "$stamp" && return
    rm -f "$stamp"
    "$@"
    cp "$file" "$stamp"
}

install_openid_provider() {
    say "installing the OpenID provider into $cache/openid"
    rm -rf "$cache/openid"
    mkdir -p "$cache/openid"
    cp "$here"/harness/openid/{package.json,package-lock.json,.npmrc} "$cache/openid/"
    (cd "$cache/openid" && npm ci --no-audit --no-fund --loglevel=error >&2)
}

install_python_client() {
    say "installing psycopg into $cache/python"
    rm -rf "$cache/python"
    /usr/bin/python3 -m venv "$cache/python"
    "$cache/python/bin/pip" install --quiet --disable-pip-version-check \
        --requirement "$here/harness/python/requirements.txt" >&2
}

mkdir -p "$cache"
# Two runs at once wait for each other.
exec 9>"$cache/install.lock"
flock 9
install_packages
once_per "$here/harness/openid/package-lock.json" install_openid_provider
once_per "$here/harness/python/requirements.txt" install_python_client
