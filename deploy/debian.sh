#!/bin/sh
# Install the Debian packages that a purpose needs, and only those that are missing.
#   sh deploy/debian.sh demo|test
# Works as root or through sudo; says what it is going to do before it does it.
set -eu

purpose=${1:-demo}
# demo: build the development token (gcc, libssl-dev), a PKCS#11 token (softhsm2), Chinese fonts for seals and licences.
packages="python3-venv gcc libc6-dev libssl-dev softhsm2 fonts-noto-cjk ca-certificates"
case $purpose in
  demo) ;;
  # test: other people's programs that check our work, a browser and a database server.
  test) packages="$packages curl openssl opensc poppler-utils qpdf chromium postgresql" ;;
  *) echo "usage: sh deploy/debian.sh demo|test" >&2; exit 2 ;;
esac

missing=
for package in $packages; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -z "$missing" ]; then
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  echo "This machine has no apt-get. Install the counterparts of these Debian packages yourself, then run make again:$missing" >&2
  exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "These packages are missing:$missing" >&2
    echo "Run this as root, or install sudo, or ask your administrator to install them." >&2
    exit 1
  fi
  sudo=sudo
fi
echo "==> Installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# Without "recommends": with them a browser would upgrade systemd and bring hundreds of packages.
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
