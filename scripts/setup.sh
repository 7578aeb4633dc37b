# Sourced by the other scripts, from the root of the checkout: finds Python and keeps .venv in step with the lock files.
# shellcheck shell=bash

say() { printf '\033[2m==>\033[0m %s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The system's own Python comes first: it is what a gateway in the field has, and distributions build theirs guided by
# profiles, which makes the tests up to 1.6 times as fast as a plain build of the same version that is first on the PATH.
SYSTEM_PYTHON=/usr/bin/python3

RARELY_USED='/(tests?|ray/(rllib|data|serve|tune|train|dashboard|llm)|mypyc?|pip|setuptools|pygments|fontTools|scipy)/'

# The first Python >= 3.11 of the usual names that can make environments, as an absolute path.
find_python() {
    local name path without_venv=""
    for name in "${TIDEGATE_PYTHON:-}" "$SYSTEM_PYTHON" python3 python3.14 python3.13 python3.12 python3.11 python; do
        [ -n "$name" ] || continue
        path="$(command -v "$name" 2>/dev/null)" || continue
        "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        if "$path" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s\n' "$path"
            return
        fi
        : "${without_venv:=$path}"
    done
    [ -z "$without_venv" ] ||
        die "$without_venv cannot make virtual environments (its venv or ensurepip is missing);" \
            "install it (Debian, Ubuntu: apt install python3-venv) and run this again"
    die "no Python 3.11 or newer found; install one (Debian, Ubuntu: apt install python3 python3-venv)," \
        "or name yours: TIDEGATE_PYTHON=/path/to/python3 $0"
}

# What an environment was made for and from: where it lives, and the content of what it was installed from.
stamp_of() {
    printf '%s\n' "$PWD"
    cat "$1" pyproject.toml | cksum
}

create_environment() {
    local python
    python="$(find_python)"
    say "creating .venv with $("$python" --version) ($python)"
    "$python" -m venv --clear .venv || die "could not create .venv in $PWD; is the directory writable and the disk not full?"
}

install_locked() {
    say "installing the locked packages of $1 (the first time takes a minute or two)"
    # The lock file is whole; --no-deps also keeps older pips from looking for `coverage[toml]` beside the locked `coverage`.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-compile --require-hashes -r "$1" ||
        die "pip could not install $1; look at its message above (no network? no room?), then run this again"
    # pip compiles on one core, and all of it; what is hardly used of large packages may wait until it is imported. What
    # does not compile is not for this Python, and says so then.
    .venv/bin/python -W ignore -m compileall -q -q -j 0 -x "$RARELY_USED" .venv/lib || true
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation -e . ||
        die "pip could not install Tidegate itself from $PWD; look at its message above"
}

# ensure_environment run|dev: .venv exists, belongs to this place and holds what the lock file says. Instant when it does.
ensure_environment() {
    local kind="$1" lock=requirements.lock stamp made_for
    [ "$kind" = dev ] && lock=requirements-dev.lock
    stamp=".venv/.tidegate-$kind"
    if [ -f "$stamp" ] && [ "$(stamp_of "$lock")" = "$(cat "$stamp")" ]; then
        return
    fi
    # Several terminals may start at once: one sets up, the others wait and find it done. Without flock, so be it.
    mkdir -p .tidegate
    exec 9>.tidegate/setup.lock
    if command -v flock >/dev/null && ! flock -n 9; then
        say "another script is setting up .venv: waiting for it"
        flock 9
    fi
    if [ -f "$stamp" ] && [ "$(stamp_of "$lock")" = "$(cat "$stamp")" ]; then
        exec 9>&-
        return
    fi
    made_for="$(head -qn1 .venv/.tidegate-dev .venv/.tidegate-run 2>/dev/null | head -n1)" || true
    if [ -n "$made_for" ] && [ "$made_for" != "$PWD" ]; then
        say "this checkout was at $made_for before: making its .venv anew"
        create_environment
    elif ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        create_environment
    fi
    rm -f .venv/.tidegate-run .venv/.tidegate-dev # a broken installation must not look finished
    install_locked "$lock"
    stamp_of requirements.lock >.venv/.tidegate-run
    if [ "$kind" = dev ]; then
        stamp_of requirements-dev.lock >.venv/.tidegate-dev
    fi
    exec 9>&-
}
