#!/usr/bin/env bash
# Debian package vsftpd, 3.0.5 (3.0.5-0.2 in Debian 13).
#
# vsftpd.conf(5) of the package documents ssl_tlsv1_1, ssl_tlsv1_2 and ssl_tlsv1_3. The program knows ssl_tlsv11, ssl_tlsv12 and
# ssl_tlsv13 instead: with a documented name in the file it does not start ("500 OOPS: unrecognised variable in config file").
# It writes that line to file descriptor 0, where a client would be: a supervisor that gives it /dev/null sees exit code 2 and nothing
# else. The names that work are in no document of the package.
#
# What follows: write the names without the second underscore, and start the daemon once with each option that is set.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
# Debian 13 by the host's own mirror, whatever release the host is.
uri=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | awk '$2 == "main" && $1 !~ /security/ {print $1; exit}')
mkdir -p lists/partial cache/archives/partial
echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri trixie main" >list
apt="-o Dir::Etc::SourceList=$dir/list -o Dir::Etc::SourceParts=- -o Dir::State::Lists=$dir/lists -o Dir::State::status=/dev/null -o Dir::Cache=$dir/cache -o APT::Sandbox::User=root -o APT::Architecture=amd64"
apt-get $apt update >/dev/null
apt-get $apt download vsftpd libc6 libwrap0 libpam0g libcap2 libssl3t64 libaudit1 libcap-ng0 libnsl2 libtirpc3t64 libgssapi-krb5-2 \
	libkrb5-3 libk5crypto3 libkrb5support0 libcom-err2 libkeyutils1 zlib1g libzstd1 >/dev/null 2>&1
for deb in *.deb; do dpkg-deb -x "$deb" root; done
apt-cache $apt show vsftpd | grep '^Version:'
lib=root/usr/lib/x86_64-linux-gnu
# takes prints whether vsftpd starts with the line in its configuration: it listens until the limit ends it, or exits with 2.
takes() {
	: >out; printf 'listen=YES\nlisten_address=127.0.0.1\nlisten_port=%s\nrun_as_launching_user=YES\n%s=YES\n' $((20000 + RANDOM % 20000)) "$1" >conf
	code=0; timeout 2 "$lib/ld-linux-x86-64.so.2" --library-path "$lib" root/usr/sbin/vsftpd "$dir/conf" 0<>out >/dev/null 2>&1 || code=$?
	case $code in 124) echo "starts" ;; *) tr -d '\r' <out | grep -m 1 . ;; esac
}
page=$(zcat root/usr/share/man/man5/vsftpd.conf.5.gz)
got=$(for name in ssl_tlsv1 ssl_tlsv1_1 ssl_tlsv1_2 ssl_tlsv1_3 ssl_tlsv11 ssl_tlsv12 ssl_tlsv13; do
	grep -qx "\.B $name" <<<"$page" && in=documented || in='not documented'
	echo "$name: $in, $(takes $name)"
done)
want='ssl_tlsv1: documented, starts
ssl_tlsv1_1: documented, 500 OOPS: unrecognised variable in config file: ssl_tlsv1_1
ssl_tlsv1_2: documented, 500 OOPS: unrecognised variable in config file: ssl_tlsv1_2
ssl_tlsv1_3: documented, 500 OOPS: unrecognised variable in config file: ssl_tlsv1_3
ssl_tlsv11: not documented, starts
ssl_tlsv12: not documented, starts
ssl_tlsv13: not documented, starts'
echo "$got"
[ "$got" = "$want" ] || { echo "the behaviour has changed; it was:"; echo "$want"; exit 1; }
