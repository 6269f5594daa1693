# What the scripts here share: where the project is, talking, and getting Debian packages.
# Sourced, not run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$top/images-cache

say() { printf '\n== %s\n' "$*" >&2; }

die() {
  printf 'Error: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf 'Hint: %s\n' "$2" >&2
  exit 1
}

need_root() {
  [ "$(id -u)" = 0 ] || die "$(basename "$0") must run as root: containers are made of mounts, namespaces and cgroups" "sudo $0"
}

# The toolchain is the one thing taken as given: rustup serves every distribution better than we could.
need_rust() {
  if ! command -v cargo >/dev/null && [ -r "${HOME:-/root}/.cargo/env" ]; then
    . "${HOME:-/root}/.cargo/env"
  fi
  command -v cargo >/dev/null || die "no Rust toolchain: cargo is not in PATH" \
    "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\""
  local want have
  want=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$top/Cargo.toml")
  have=$(cargo --version | awk '{print $2}')
  [ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ] ||
    die "Rust $have is too old: dockless needs $want" "rustup update stable"
}

# packages NAME...: installs what is missing from Debian, and nothing when all is there.
packages() {
  local missing=() p
  for p in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing from Debian: ${missing[*]}"
  # Services of these packages are tools of the tests: none is to be started on this host.
  local policy=/usr/sbin/policy-rc.d ours=
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && ours=1
  fi
  local done=0
  DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2 &&
    DEBIAN_FRONTEND=noninteractive apt-get -y -qq install --no-install-recommends "${missing[@]}" >&2 || done=$?
  [ -z "$ours" ] || rm -f $policy
  [ $done = 0 ] || die "apt-get could not install ${missing[*]}" "look at its messages above; is there a Debian mirror in /etc/apt?"
}
