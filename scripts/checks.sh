# Sourced by scripts/check and scripts/test after scripts/setup.sh: the checks that need no server.
# shellcheck shell=bash

# step WHAT COMMAND...: say it, run it, and end with a sentence when it fails.
step() {
    local what="$1"
    shift
    say "$what"
    "$@" || die "$what: failed, see above ($*)"
}

check_types() {
    step "types (mypy --strict)" .venv/bin/python -m mypy
}

check_sources() {
    step "style (ruff check)" .venv/bin/python -m ruff check .
    step "format (ruff format)" .venv/bin/python -m ruff format --check .
    step "who may import whom (import-linter)" .venv/bin/lint-imports
}

check_docs() {
    step "docs (mkdocs build --strict)" env NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs --quiet build --strict --site-dir "$1/site"
}

# The wheel is built offline from the locked build backend, installed alone into a clean environment, and asked its version.
check_wheel() {
    step "wheel (build)" .venv/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$1/wheel" .
    step "wheel (contents)" .venv/bin/python scripts/check_wheel.py "$1"/wheel/tidegate-*.whl
}
