# Sourced by scripts/test: the servers and the browser that tests start themselves, from Debian's packages.
# shellcheck shell=bash

# command:package
SYSTEM_PACKAGES=(
    mosquitto:mosquitto
    mosquitto_passwd:mosquitto
    influxd:influxdb
    victoria-metrics:victoria-metrics
    chromium:chromium
    chromedriver:chromium-driver
)

missing_packages() {
    local pair
    for pair in "${SYSTEM_PACKAGES[@]}"; do
        # Servers live in /usr/sbin, which an ordinary user's PATH does not have.
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || printf '%s\n' "${pair##*:}"
    done | sort -u
}

ensure_system_packages() {
    local -a missing
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        die "the tests need packages that are not installed: ${missing[*]};" \
            "install them (Debian, Ubuntu: sudo apt install ${missing[*]}) and run this again," \
            "or run scripts/check, which needs none"
    fi
    say "installing with apt: ${missing[*]}"
    install_without_starting "${missing[@]}" || die "apt could not install ${missing[*]}; look at its message above"
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" -eq 0 ] || die "apt installed the packages, but these are still missing: ${missing[*]}"
}

# Debian starts a server as soon as it is installed, on the very ports that tests or the operator may use. A policy-rc.d
# that says no (exit 101) keeps them down; one that is already there is the operator's and is left alone.
install_without_starting() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null >&2 &&
        apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" </dev/null >&2
)
