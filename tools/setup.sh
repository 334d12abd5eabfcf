# What ./tools/dev needs before it can build: Debian packages, the virtual environment, Bazel's offline repositories.
# Sourced by tools/dev, in the root of the repository. Every step looks first and is skipped when it is done.

LOCK=tools/requirements.lock
NO_DEPS_LOCK=tools/requirements-no-deps.lock

say() { printf 'memtorch: %s\n' "$*" >&2; }

die() {
  say "$@"
  exit 1
}

# Succeeds on the Debian release whose Bazel, GoogleTest and compiler this set-up knows.
is_debian_12() {
  [ -r /etc/os-release ] && (. /etc/os-release && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-}" = 12 ])
}

# Prints the first Python that the lock file has wheels for.
find_python() {
  local name path
  for name in ${PYTHON:+"$PYTHON"} python3.11 python3 python3.12 python3.13; do
    path=$(command -v "$name") || continue
    if "$path" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      printf '%s\n' "$path"
      return 0
    fi
  done
  return 1
}

has_python_header() {
  "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))'
}

# Appends to the arrays `packages` (for apt) and `missing` (for people) unless the command after them succeeds.
require() {
  local package=$1 what=$2
  shift 2
  "$@" >/dev/null 2>&1 && return
  packages+=("$package")
  missing+=("$what")
}

# Fills `packages` and `missing` with what this machine lacks.
look_around() {
  packages=() missing=()
  require g++ "g++ 12 or newer, a C++17 compiler" command -v g++
  require binutils "nm, of binutils" command -v nm
  require bazel-bootstrap "bazel (4.2 to 7, in PATH)" command -v bazel
  require googletest "the sources of GoogleTest in /usr/src/googletest" test -e /usr/src/googletest/googletest/src/gtest-all.cc
  if ! command -v bazel >/dev/null || [ -d /usr/share/bazel ]; then
    # Debian's Bazel takes the rules that it would download from these.
    require bazel-rules-java "/usr/share/bazel/rules/java" test -d /usr/share/bazel/rules/java
    require bazel-rules-proto "/usr/share/bazel/rules/proto" test -d /usr/share/bazel/rules/proto
    require bazel-platforms "/usr/share/bazel/platforms" test -d /usr/share/bazel/platforms
  fi
  local python
  if python=$(find_python); then
    require python3-venv "the module venv of $python, with ensurepip" "$python" -c 'import ensurepip, venv'
    require python3-dev "the header Python.h of $python" has_python_header "$python"
  else
    packages+=(python3 python3-venv python3-dev)
    missing+=("Python 3.11 to 3.13 with venv and headers (PYTHON=/path/to/python names one)")
  fi
}

# Prints how to become root (nothing, if this is root already), or fails.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    return 0
  elif ! command -v sudo >/dev/null; then
    return 1
  elif [ -t 0 ]; then
    echo "sudo"
  else
    sudo -n true 2>/dev/null && echo "sudo -n"
  fi
}

refuse() {
  local reason=$1 how=$2 item list=
  for item in "${missing[@]}"; do list+=$'\n'"  - $item"; done
  die "$reason. Missing on this machine:$list"$'\n'"$how Then run the command again."
}

# Installs Debian packages as $root, which is one or two words, or none.
apt_install() {
  # shellcheck disable=SC2086
  apt() { $root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends "$@" </dev/null >&2; }
  # The lists of a fresh machine are empty, and old ones name versions that are gone: then, and only then, fetch them.
  if ! apt-get --simulate install "$@" >/dev/null 2>&1 || ! apt install "$@"; then
    apt update && apt install "$@"
  fi
}

install_packages() {
  look_around
  [ ${#packages[@]} -gt 0 ] || return 0
  local command="apt-get install --no-install-recommends ${packages[*]}" root
  if ! is_debian_12; then
    refuse "set-up installs packages on Debian 12 only" \
      "Install them with this system's package manager (on Debian 12 it would be: $command)."
  fi
  root=$(as_root) || refuse "installing packages needs root or sudo" "As root: apt-get update && $command."
  say "installing ${packages[*]}"
  apt_install "${packages[@]}" || die "apt-get failed (its messages stand above); $command must work."
  hash -r
  look_around
  [ ${#packages[@]} -eq 0 ] ||
    refuse "apt-get has installed all it was asked for, and yet something is not found" \
      "If another Python comes first in PATH, name Debian's: PYTHON=/usr/bin/python3."
}

# ngspice, which some tests compare with; where it cannot be installed without asking anybody, they are skipped.
install_ngspice() {
  local root
  ! command -v ngspice >/dev/null && is_debian_12 && root=$(as_root </dev/null) || return 0
  say "installing ngspice"
  apt_install ngspice || say "apt-get failed (its messages stand above): tests that need ngspice are skipped"
  hash -r
}

make_venv() {
  local python stamp=.venv/.memtorch-lock want
  python=$(find_python)
  want=$(cat "$LOCK" "$NO_DEPS_LOCK" | sha256sum)
  if [ -x .venv/bin/python ] && [ "$(cat $stamp 2>/dev/null)" = "$want" ] && .venv/bin/python -c '' 2>/dev/null; then
    return
  fi
  # Here, so that it is tried once and not by every command.
  install_ngspice
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "making the virtual environment .venv"
    "$python" -m venv --clear .venv || die "$python -m venv failed (its messages stand above)."
  fi
  say "installing $LOCK into .venv"
  local quiet=--quiet
  [ ! -t 2 ] || quiet=--progress-bar=on
  pip_install() { .venv/bin/python -m pip install $quiet --disable-pip-version-check --no-input "$@"; }
  pip_install -r "$LOCK" && pip_install --no-deps -r "$NO_DEPS_LOCK" ||
    die "pip could not install $LOCK (its messages stand above). It needs a package index: pip's own settings name it."
  printf '%s\n' "$want" >$stamp
}

# The absolute paths of this clone; written anew when they change, so a clone may be moved.
write_bazelrc() {
  local root=$PWD new
  new=$(
    echo "# Written by tools/setup.sh for this clone."
    if [ -d /usr/share/bazel/rules ]; then
      echo "common --override_repository=rules_cc=$root/tools/third_party/rules_cc"
      echo "common --override_repository=remote_coverage_tools=$root/tools/third_party/remote_coverage_tools"
      echo "common --override_repository=rules_java=/usr/share/bazel/rules/java"
      echo "common --override_repository=rules_proto=/usr/share/bazel/rules/proto"
      echo "common --override_repository=platforms=/usr/share/bazel/platforms"
    fi
    # Of the environment, what tests and repositories see; the lock files' hash stands for what .venv holds. A result
    # from before ngspice was there holds no longer when it is.
    echo "common --repo_env=MEMTORCH_PYTHON=$root/.venv/bin/python"
    echo "common --repo_env=MEMTORCH_LOCK=$(cut -c1-16 .venv/.memtorch-lock)"
    echo "build --test_env=MEMTORCH_PYTHON=$root/.venv/bin/python"
    echo "build --test_env=MEMTORCH_LOCK=$(cut -c1-16 .venv/.memtorch-lock)"
    echo "build --test_env=MEMTORCH_NGSPICE=$(command -v ngspice)"
  )
  if [ "$new" != "$(cat .bazelrc.local 2>/dev/null)" ]; then
    # One of Bazel's links has the clone's folder in its name; Bazel would take that of an old folder for sources.
    find . -maxdepth 1 -type l -name 'bazel-*' -delete
    printf '%s\n' "$new" >.bazelrc.local
  fi
}

setup() {
  case $PWD in
    *[[:space:]]*) die "Bazel does not work in a folder whose path has a space: move '$PWD'." ;;
  esac
  install_packages
  make_venv
  write_bazelrc
}
