#!/bin/bash
# redis-evict-temp-keys.sh [PATTERN]: unlinks the keys of a pattern (tmp:*) in the Redis that
# the alert is about, 500 at a time; nothing else is touched. It may be run again at any
# time. keepwell says in KEEPWELL_ASSET which server it is; a password stands in REDISCLI_AUTH.
set -euo pipefail # a failing redis-cli must not look like success, nor (-e) what Redis refuses
pattern=${1:-tmp:*}
server=${KEEPWELL_ASSET:-127.0.0.1:6379}
server=${server#instance/}
host=${server%:*} port=${server##*:}
[ "$host" != "$server" ] || port=6379
redis=(redis-cli -e -h "$host" -p "$port")
percent() {
	"${redis[@]}" info memory | tr -d '\r' |
		awk -F: '$1 == "used_memory" {used = $2} $1 == "maxmemory" {most = $2} END {print most ? int(100 * used / most) : 0}'
}

before=$(percent)
# Quoted on the way: the name of a key may hold anything, also a line break.
"${redis[@]}" --no-raw --scan --pattern "$pattern" |
	xargs -r -d '\n' -n 500 "${redis[@]}" --quoted-input unlink >/dev/null
echo "$server used $before % of its memory, now $(percent) %"
