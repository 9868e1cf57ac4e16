#!/usr/bin/env bash
# Makes a certificate authority for development, and a server certificate for each name given.
#
#   certs/development-ca.sh FOLDER NAME...
#   certs/development-ca.sh my-certs localhost passgate postgres
#
# FOLDER gets ca.pem and ca.key, and NAME.pem and NAME.key for each name. Every certificate is also good for localhost,
# 127.0.0.1 and ::1. An authority that is there already is kept, so that names can be added later. All of it ends after
# 90 days, and whoever has ca.key can be anyone: it is for development, and belongs in no repository.
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: $0 FOLDER NAME..." >&2; exit 2; }
command -v openssl >/dev/null || { echo "$0: openssl is missing: apt install openssl" >&2; exit 1; }

folder=$1
shift
days=90
umask 077
mkdir -p "$folder"

if [ ! -e "$folder/ca.key" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$days" \
        -subj "/CN=Passgate development authority" \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout "$folder/ca.key" -out "$folder/ca.pem" 2>/dev/null
fi

for name in "$@"; do
    [[ "$name" =~ ^[A-Za-z0-9.-]+$ ]] || { echo "$0: not a host name: $name" >&2; exit 2; }
    kind=DNS
    [[ "$name" =~ ^[0-9.]+$ ]] && kind=IP
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout "$folder/$name.key" -out "$folder/$name.csr" 2>/dev/null
    openssl x509 -req -in "$folder/$name.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -days "$days" \
        -set_serial "0x$(openssl rand -hex 16)" -out "$folder/$name.pem" 2>/dev/null -extfile /dev/stdin <<EXTENSIONS
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = $kind:$name, DNS:localhost, IP:127.0.0.1, IP:::1
EXTENSIONS
    rm "$folder/$name.csr"
    # Certificates are public; keys stay with whoever made them.
    chmod 644 "$folder/$name.pem" "$folder/ca.pem"
    echo "$folder/$name.pem"
done
