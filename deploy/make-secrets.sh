#!/bin/sh
# Draws all passwords that compose.yaml and kubernetes/ need, once, into files of a folder.
# Usage: sh make-secrets.sh FOLDER [HOST OF POSTGRESQL] [HOST OF REDIS]
set -eu

folder=${1:?"usage: sh make-secrets.sh FOLDER [HOST OF POSTGRESQL] [HOST OF REDIS]"}
postgres=${2:-postgres}
redis=${3:-redis}

if [ -e "$folder" ]; then
    echo "$folder is there already: nothing was changed" >&2
    exit 1
fi

draw() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# The folder is closed; its files are not, since in each container another user reads them.
mkdir -m 0700 "$folder"
umask 0333
database_password=$(draw)
broker_password=$(draw)
broker_digest=$(printf %s "$broker_password" | sha256sum | cut -d ' ' -f 1)

printf %s "$database_password" > "$folder/postgres-password"
printf 'postgresql+psycopg://fracture_screen:%s@%s:5432/fracture_screen\n' \
    "$database_password" "$postgres" > "$folder/database-url"
printf 'redis://fracture_screen:%s@%s:6379/0\n' "$broker_password" "$redis" > "$folder/broker-url"

# Nobody gets in without signing in, nor ever as the default user, who is off. That user may do
# everything all the same: Redis (7.2, too) replays its append-only file as that user at the start,
# and what it may not do is lost. The health check's user may ask whether Redis lives, no more.
cat > "$folder/redis-users.acl" <<ACL
user default off resetpass ~* &* +@all
user health on nopass resetkeys resetchannels -@all +ping
user fracture_screen on #$broker_digest ~* &* +@all -@admin -@dangerous +info
ACL

draw > "$folder/grafana-password"
printf '{"RegisteredUsers": {"admin": "%s"}}\n' "$(draw)" > "$folder/orthanc-users.json"
echo "secrets are in $folder: keep a copy where passwords are kept, and out of backups of data"
