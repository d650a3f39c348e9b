#!/bin/sh
# Starts nginx in the foreground with the settings of the environment; its
# files are in the folder given.
#
# Fair: tuned as for a benchmark. Unfair to corelane: no metrics, and a file
# that changed is seen up to 60 s late. Workers run as who starts it, root
# included, so that they can read the files.
set -eu
run=$1
here=$(cd "$(dirname "$0")" && pwd)
: "${PORT:?the port to listen on}" "${STATIC_DIR:?the folder of static files}"
cores=${CORES:-0}

workers=0
affinity=
for core in $(echo "$cores" | tr ',' ' '); do
    # A mask in binary, the lowest core on the right.
    mask=1
    while [ "$core" -gt 0 ]; do
        mask=${mask}0
        core=$((core - 1))
    done
    affinity="$affinity $mask"
    workers=$((workers + 1))
done

user=
if [ "$(id -u)" -eq 0 ]; then
    user="user root;"
fi

sed -e "s|@user@|$user|" -e "s|@run@|$run|" -e "s|@workers@|$workers|" \
    -e "s|@affinity@|$affinity|" -e "s|@host@|${HOST:-127.0.0.1}|" -e "s|@port@|$PORT|" \
    -e "s|@static@|$STATIC_DIR|" "$here/nginx.conf.in" > "$run/nginx.conf"
# 16,384 connections a worker, and as many files.
ulimit -n "$(ulimit -H -n)"
exec nginx -p "$run" -c "$run/nginx.conf" -e stderr
