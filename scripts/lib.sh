# Shared by the scripts: what a fresh Debian or Ubuntu machine may lack. Sourced, not run.

say() { printf '%s\n' "$*" >&2; }

# install PROGRAM PACKAGE…: installs the packages unless PROGRAM is there. Debian's redis-server, nginx-light and haproxy
# start a service of the machine's own, too; nothing here uses or needs it.
install() {
  program=$1
  shift
  command -v "$program" >/dev/null 2>&1 && return 0
  say "installing $* (there is no $program)"
  as_root=
  [ "$(id -u)" = 0 ] || as_root=sudo
  if ! command -v apt-get >/dev/null 2>&1; then
    say "there is no apt-get here; install $* yourself and run this again"
    exit 1
  fi
  # A lock held by another installation is waited for.
  $as_root apt-get -o DPkg::Lock::Timeout=120 update -qq >&2
  DEBIAN_FRONTEND=noninteractive $as_root apt-get -o DPkg::Lock::Timeout=120 install -y -qq "$@" >&2
  command -v "$program" >/dev/null 2>&1 || { say "$* did not bring $program"; exit 1; }
}

need_rust() {
  command -v cargo >/dev/null 2>&1 && return 0
  say "there is no cargo; install Rust 1.95 or later (rustup, https://rustup.rs) and run this again"
  exit 1
}

# free_port: a TCP port of loopback that nothing listens on now, below those that outgoing connections are given.
free_port() {
  python3 -c 'import random, socket
while True:
    port = random.randrange(12000, 32000)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break'
}

# with_us: what goes before a command that must not outlive the script, even if that is killed.
with_us=()
if command -v setpriv >/dev/null 2>&1; then with_us=(setpriv --pdeathsig TERM --); fi

# What the demo, the tests and the conformance suite run beside Rust, a C compiler, git and the programs of an essential
# Debian system: a program and the packages that bring it, a line each.
programs='redis-server redis-server
redis-cli redis-tools
nginx nginx-light
haproxy haproxy
python3 python3
npm nodejs npm
node nodejs
curl curl
jq jq'

install_programs() {
  local program packages
  while read -r program packages; do
    # The packages are words.
    # shellcheck disable=SC2086
    install "$program" $packages
  done <<<"$programs"
}

need_pip() {
  python3 -m pip --version >/dev/null 2>&1 || install pip3 python3-pip
}

# fetch_python_sdk: into target/clients, for the client in Python that the tests run.
fetch_python_sdk() {
  cmp -s tests/clients/requirements.txt target/clients/requirements.txt && return 0
  need_pip
  rm -rf target/clients
  python3 -m pip install --quiet --disable-pip-version-check --target target/clients -r tests/clients/requirements.txt
  cp tests/clients/requirements.txt target/clients/
}

# The releases of redis-py with which the SDK for workers in Python is tested.
redis_py='7.4.1 8.0.1 8.1.0'

# fetch_redis_py: each of them into a folder of its own below target/python; and Celery and RQ.
fetch_redis_py() {
  local release
  for release in $redis_py; do fetch_python "redis-$release" "redis==$release"; done
  fetch_python queues celery==5.7.0 rq==3.0.0 redis==7.4.1 packaging==26.4
}

# fetch_python FOLDER PACKAGE…: the packages into a folder below target/python, unless they are there.
fetch_python() {
  local folder=target/python/$1
  shift
  [ "$(cat "$folder/.fetched" 2>/dev/null)" = "$*" ] && return 0
  need_pip
  rm -rf "$folder"
  python3 -m pip install --quiet --disable-pip-version-check --target "$folder" "$@"
  printf '%s\n' "$*" >"$folder/.fetched"
}

# fetch_node_client: the client of Redis that the lock file of the SDK for workers in Node names.
fetch_node_client() {
  (cd sdk/node && npm ci --silent --no-audit --no-fund)
}

# test_worker_sdks: the SDKs for workers in Python, on each release of redis-py, and in Node; Celery and RQ; then both SDKs with
# the conformance kit. A few at a time, since the tests mostly wait.
test_worker_sdks() {
  local release failed= tests=()
  ended() {
    local test
    for test in "${tests[@]}"; do wait "$test" || failed=yes; done
    tests=()
  }
  for release in $redis_py; do
    PYTHONPATH=$PWD/target/python/redis-$release python3 -m unittest discover -s sdk/python/tests -q &
    tests+=($!)
  done
  ended
  {
    local told
    told=$(cd sdk/node && npm test --silent 2>&1) || {
      say "$told"
      exit 1
    }
  } &
  tests+=($!)
  NEEDS_OTHER_QUEUES=1 PYTHONPATH=$PWD/target/python/queues python3 -m unittest discover -s sdk/python/tests -q -k OtherQueues &
  tests+=($!)
  ended
  PYTHONPATH=$PWD/sdk/python:$PWD/target/python/redis-${redis_py##* } \
    target/debug/worker-conformance --jobs 3 -- python3 sdk/python/examples/conformance.py &
  tests+=($!)
  target/debug/worker-conformance --jobs 3 -- node sdk/node/examples/conformance.mjs &
  tests+=($!)
  ended
  [ -z "$failed" ]
}

# bare_path FOLDER: fills it with links to the programs above and to those that every Debian machine with Rust, git and a
# C compiler has, and to nothing else: a PATH on which a program that nobody installs is missing everywhere.
bare_path() {
  local folder=$1 program path
  dpkg-query -W -f '${Package}\t${Essential}\t${Priority}\n' |
    awk -F '\t' '$2 == "yes" || $3 == "required" { print $1 }' | xargs dpkg-query -L |
    grep -E '^(/usr)?/s?bin/[^/]+$' | sort -u | while read -r path; do
    if [ -x "$path" ]; then ln -sf "$path" "$folder/"; fi
  done
  # Links that the packages' own scripts make.
  for program in sh awk cc gcc ld as ar git cargo rustc rustdoc $(printf '%s\n' "$programs" | cut -d ' ' -f 1); do
    ln -sf "$(command -v "$program")" "$folder/$program"
  done
  if command -v cargo-nextest >/dev/null 2>&1; then ln -sf "$(command -v cargo-nextest)" "$folder/"; fi
  # It may be the shim of a version manager, which needs more than itself.
  ln -sf "$(python3 -c 'import sys; print(sys.executable)')" "$folder/python3"
}
