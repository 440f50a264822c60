#!/bin/bash
# Unlinks the temporary keys (tmp:*) of the Redis that the alert is about, 500 at a time;
# nothing else is touched. It may be run again at any time. keepwell says in KEEPWELL_ASSET
# which server it is.
set -euo pipefail # a failing redis-cli must not look like success
server=${KEEPWELL_ASSET:-127.0.0.1:6379}
server=${server#instance/}
host=${server%:*}
port=${server##*:}
percent() {
	redis-cli -h "$host" -p "$port" info memory | tr -d '\r' |
		awk -F: '$1 == "used_memory" {used = $2} $1 == "maxmemory" {most = $2} END {print most ? int(100 * used / most) : 0}'
}

before=$(percent)
redis-cli -h "$host" -p "$port" --scan --pattern 'tmp:*' |
	xargs -r -d '\n' -n 500 redis-cli -h "$host" -p "$port" unlink >/dev/null
echo "$server used $before % of its memory, now $(percent) %"
