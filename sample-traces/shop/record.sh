#!/usr/bin/env bash
# Records a small shop in Docker containers, with faults in it. Called by `cargo xtask sample-traces`.
#
# A Docker daemon of its own, images made of this host's nginx, redis-server and busybox, a bridge with an address for
# each container. Needs root and the packages docker.io, busybox-static, nginx-light, redis-server and iproute2.
set -euo pipefail

trace=${1:?the trace directory}
scratch=$(mktemp -d)
bridge=aftertrace0
network=10.77.0

docker() { command docker -H "unix://$scratch/docker.sock" "$@"; }

clean_up() {
    [ -z "${recorder:-}" ] || kill -INT "$recorder" 2>/dev/null || true
    docker ps -aq | while read -r id; do docker rm -f "$id" >/dev/null; done
    kill "$daemon" && wait "$daemon" || true
    ip link del "$bridge" 2>/dev/null || true
    rm -rf "$scratch"
}
trap clean_up EXIT

dockerd --data-root "$scratch/data" --exec-root "$scratch/exec" --pidfile "$scratch/pid" -H "unix://$scratch/docker.sock" \
    --storage-driver=vfs --bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
    >"$scratch/dockerd.log" 2>&1 &
daemon=$!
until docker version >/dev/null 2>&1; do
    kill -0 "$daemon" || { tail -5 "$scratch/dockerd.log" >&2; exit 1; }
    sleep 0.1
done
ip link add "$bridge" type bridge
ip addr add "$network.254/24" dev "$bridge"
ip link set "$bridge" up

# image NAME [PROGRAM]: busybox, the program with the libraries that it is linked with, and what lies in $scratch/NAME.
image() {
    local root=$scratch/$1
    mkdir -p "$root"/{bin,tmp,etc,var/log/nginx,var/lib/nginx}
    cp "$(command -v busybox)" "$root/bin/busybox"
    ln -s busybox "$root/bin/sh"
    echo 'root:x:0:0::/:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:' >"$root/etc/group"
    if [ -n "${2:-}" ]; then
        cp "$(command -v "$2")" "$root/bin/"
        ldd "$(command -v "$2")" | grep -o '/[^ )]*' | while read -r library; do
            install -D "$library" "$root$library"
        done
    fi
    tar -C "$root" -cf "$scratch/$1.tar" .
    docker import "$scratch/$1.tar" "shop/$1:1" >/dev/null
}

# connect NAME ADDRESS: a link to the bridge for a container that runs.
connect() {
    local pid
    pid=$(docker inspect -f '{{.State.Pid}}' "$1")
    ip link del "v$1" 2>/dev/null || true
    ip link add "v$1" type veth peer name eth0 netns "/proc/$pid/ns/net" 2>/dev/null ||
        { ip link add "v$1" type veth peer name "p$1" && ip link set "p$1" netns "$pid" &&
            nsenter -t "$pid" -n ip link set "p$1" name eth0; }
    ip link set "v$1" master "$bridge" up
    nsenter -t "$pid" -n ip addr add "$network.$2/24" dev eth0
    nsenter -t "$pid" -n ip link set eth0 up
}

# run NAME IMAGE FLAGS... -- COMMAND...
run() {
    local name=$1 image=$2 flags=()
    shift 2
    while [ "$1" != -- ]; do flags+=("$1"); shift; done
    docker run -d --name "$name" --network none "${flags[@]}" "shop/$image:1" "${@:2}" >/dev/null
}

mkdir -p "$scratch/front/etc"
cat >"$scratch/front/etc/nginx.conf" <<NGINX
user root; daemon off; worker_processes 1; pid /tmp/nginx.pid; error_log stderr;
events {}
http {
    access_log off;
    proxy_connect_timeout 2s;
    proxy_read_timeout 5s;
    server { listen 8080; location / { proxy_pass http://$network.2:8081; } }
}
NGINX
mkdir -p "$scratch/app/www/cgi-bin"
cat >"$scratch/app/www/cgi-bin/order" <<'SCRIPT'
#!/bin/sh
# A price from the cache, or else from the stock; then the order goes to the stock.
echo 'Content-Type: text/plain'
echo
ask() { printf '%s\r\nQUIT\r\n' "$3" | /bin/busybox nc -w 2 "$1" "$2"; }
ask 10.77.0.3 6379 'GET price' || ask 10.77.0.4 6379 'GET price'
ask 10.77.0.4 6379 'INCR orders' || echo sold out
SCRIPT
chmod +x "$scratch/app/www/cgi-bin/order"

image front nginx
image app
image redis redis-server
image tools

redis=(redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --save '' --dir /tmp --maxmemory 8mb)
run cache redis --memory 64m -- "${redis[@]}"
run stock redis --memory 64m -- "${redis[@]}"
run app app --memory 64m -- busybox httpd -f -p 8081 -h /www
run front front --memory 64m -- nginx -c /etc/nginx.conf
connect front 1
connect app 2
connect cache 3
connect stock 4

DOCKER_HOST="unix://$scratch/docker.sock" "${AFTERTRACE:?}" record -o "$trace" --quiet --interval 2s \
    --container '^/docker/(front|app|cache|stock|visitors|reports|mailer)$' &
recorder=$!
until [ -e "$trace/trace.json" ]; do kill -0 "$recorder"; sleep 0.1; done
sleep 1

run visitors tools -- sh -c "while :; do busybox wget -q -O /dev/null http://$network.1:8080/cgi-bin/order; busybox sleep 0.2; done"
connect visitors 5
sleep 6
# The cache dies. Its address is taken over by nobody, then by a container where nothing listens, then it is back.
docker kill cache >/dev/null
sleep 2
run spare tools -- busybox sleep 60
connect spare 3
sleep 3
docker rm -f spare >/dev/null
docker start cache >/dev/null
connect cache 3
sleep 3
# A report needs more memory than it may have.
run reports tools --memory 24m -- busybox tail /dev/zero
docker wait reports >/dev/null
# The mailer cannot start, and is started again and again.
run mailer tools --restart on-failure:3 -- sh -c 'busybox sleep 0.3; exit 1'
sleep 4
# The way to the stock is cut for a while: what is sent there is sent again.
ip link set vstock down
sleep 4
ip link set vstock up
sleep 4

kill -INT "$recorder"
wait "$recorder"
recorder=
