# Which kernel the virtual machine boots. Sourced, not run.

# The newest Debian cloud kernel of this host, or with a version (6.12) the newest of those, from Debian's backports if need be: kept
# in a folder of ours, never installed here. Sets kernel (the image), version (its release) and tree (where its lib/modules is).
need_kernel() { # [VERSION]
  tree=/
  kernel=$(ls -v /boot/vmlinuz-${1:+"$1"[.-]}*cloud* 2>/dev/null | tail -n 1 || true)
  if [ -z "$kernel" ]; then
    [ -n "${1-}" ] || die "no kernel in /boot" "apt-get install linux-image-cloud-amd64"
    tree=$vm_cache/linux-$1
    [ -e "$tree/complete" ] || fetch_kernel "$1"
    kernel=$(ls -v "$tree"/boot/vmlinuz-* | tail -n 1)
  fi
  version=${kernel##*/vmlinuz-}
}

vm_cache=${DOCKLESS_VM_CACHE:-/var/cache/dockless-vm}

# The package by the host's apt, with lists and sources of its own.
fetch_kernel() { # VERSION
  need_root
  local apt=$vm_cache/apt name mirror release
  release=$(. /etc/os-release; echo "$VERSION_CODENAME")
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(RELEASE)' 'Created-By: Packages' | awk -v r="$release" '$2 == "Debian" && $3 == r { print $1; exit }')
  [ -n "$mirror" ] || die "this host's apt names no mirror of Debian $release to take a kernel $1 from" "apt-get update"
  say "a kernel $1 from $release-backports"
  mkdir -p "$apt"/{lists,archives}/partial
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release-backports main" >"$apt/sources.list"
  : >"$apt/status"
  local options=(-q -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State="$apt"
    -o Dir::State::Lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update >&2
  name=$(apt-cache "${options[@]}" search --names-only "^linux-image-$1[.].*-cloud-amd64$" | awk '{ print $1 }' | sort -V | tail -n 1)
  [ -n "$name" ] || die "$release-backports has no cloud kernel $1" "apt-cache search linux-image, in $apt"
  (cd "$apt/archives" && apt-get "${options[@]}" download "$name" >&2)
  rm -rf "$tree"
  mkdir -p "$tree"
  dpkg-deb -x "$(ls -v "$apt/archives/$name"_*.deb | tail -n 1)" "$tree"
  depmod -b "$tree" "${name#linux-image-}"
  touch "$tree/complete"
}
