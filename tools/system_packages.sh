#!/usr/bin/env bash
# Install Debian packages that are missing, when that is allowed; otherwise say which to install.
#
#   tools/system_packages.sh python       what a virtual environment needs
#   tools/system_packages.sh make         to run the Makefile
#   tools/system_packages.sh keys         to press real keys in the window's tests
#   tools/system_packages.sh cluster      for make cluster
#   tools/system_packages.sh window       what napari's window needs, also without a screen (Xvfb, openbox)
set -euo pipefail

case "${1:-}" in
    python) packages=(python3 python3-venv) ;;
    make) packages=(make) ;;
    window) packages=(xvfb xauth libegl1 libdbus-1-3 libglib2.0-0 libfontconfig1
                      libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1
                      libxcb-shape0 openbox) ;;
    keys) packages=(xdotool) ;;
    cluster) packages=(slurm-wlm munge) ;;
    *) echo "Say which: $0 python|make|window|keys|cluster" >&2; exit 2 ;;
esac

is_installed() {
    dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

missing=()
if command -v dpkg-query >/dev/null; then
    for package in "${packages[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
else
    missing=("${packages[@]}")
fi
[ ${#missing[@]} -eq 0 ] && exit 0

by_hand="Please install the system packages: ${missing[*]}"
if ! command -v apt-get >/dev/null; then
    echo "$by_hand (Debian's names; this system has no apt-get)." >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    echo "$by_hand (sudo apt-get install ${missing[*]})." >&2
    exit 1
fi

echo "Installing system packages: ${missing[*]}"
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq
         --no-install-recommends "${missing[@]}")
"${as_root[@]}" apt-get update -qq || true  # an old list may still do
if ! "${install[@]}" >/dev/null; then
    echo "apt-get could not install them. $by_hand." >&2
    exit 1
fi
