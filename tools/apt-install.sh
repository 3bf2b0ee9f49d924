#!/usr/bin/env bash
# Installs Debian packages so that the machine stays otherwise as it was: nothing is removed, no
# daemon starts, now or at the next boot, and no apt source is added.
#
# usage: tools/apt-install.sh PACKAGE...      (as root)
#
# exit status: 0 installed, 3 refused, with the reason.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

packages=("$@")
refuse() { echo "apt-install: $*" >&2 && exit 3; }
[ ${#packages[@]} -gt 0 ] || refuse "no package named"
[ "$(id -u)" = 0 ] || refuse "must run as root"

scratch=$(mktemp -d)
chmod 755 "$scratch" # apt fetches as a user of its own
policy=/usr/sbin/policy-rc.d
policy_is_ours=false
clean_up() {
    rm -rf "$scratch"
    if $policy_is_ours; then rm -f "$policy"; fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

options=(--no-install-recommends -o "DPkg::Lock::Timeout=300")
# Whether all of it can be installed and nothing has to go for it.
plan_fits() {
    apt-get install --simulate "${options[@]}" "${packages[@]}" >"$scratch/plan" 2>&1 &&
        ! grep -q '^Remv' "$scratch/plan"
}

# A machine with a package from backports cannot take its stock relatives: stock qemu-system-x86
# removes a newer qemu-utils. There we take the new packages from backports too, through a list of
# sources that lives as long as this script.
look_in_backports() {
    local release
    release=$(. /etc/os-release && echo "${ID:-} ${VERSION_CODENAME:-}")
    [ "${release% *}" = debian ] || return 1
    mkdir -p "$scratch/sources" "$scratch/lists/partial"
    find /etc/apt/sources.list.d -name '*.list' -o -name '*.sources' |
        xargs --no-run-if-empty cp --target-directory "$scratch/sources"
    cat >"$scratch/sources/backports.sources" <<EOF
Types: deb
URIs: http://deb.debian.org/debian
Suites: ${release#* }-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
EOF
    options+=(-o "Dir::Etc::SourceParts=$scratch/sources" -o "Dir::State::lists=$scratch/lists")
    apt-get update -qq "${options[@]}" || return 1
    options+=(--target-release "${release#* }-backports")
}

if ! plan_fits; then
    echo "apt-install: apt-get update, to see whether newer lists help"
    apt-get update -qq || true
fi
if ! plan_fits; then
    echo "apt-install: looking in backports, because the stock packages do not fit what is here"
    look_in_backports || refuse "backports cannot be reached; nothing was changed"
    plan_fits || { cat "$scratch/plan" >&2 && refuse "nothing was changed: see the plan above"; }
fi

if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    policy_is_ours=true
fi
echo "apt-install: installing ${packages[*]} without recommended packages"
apt-get install --yes --quiet "${options[@]}" "${packages[@]}" >"$scratch/log" 2>&1 ||
    { tail -n 30 "$scratch/log" >&2 && refuse "apt-get failed"; }

# The demo starts a target of its own; the packaged daemon has no business on this machine.
case " ${packages[*]} " in
*" tgt "*)
    echo "apt-install: disabling the packaged tgt service, which would start at the next boot"
    update-rc.d tgt disable >/dev/null 2>&1 || true
    deb-systemd-helper disable tgt.service >/dev/null 2>&1 || true
    ;;
esac
