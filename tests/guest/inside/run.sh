#!/bin/bash
# The guest's one errand: runs the tests named in /opt/hearth/selected, reports to the second serial line, powers off.
# Started by systemd as guest.service, which has its control groups delegated, as hearth.service has.
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=/opt/hearth/site-packages:/opt/hearth/tests/guest/inside HEARTH_BIN=/opt/hearth/target/debug/hearth
stty -F /dev/ttyS1 raw -echo
# Loaded before the clock of any set-up runs: a processor in software takes seconds for each.
modprobe -a loop ext4 veth overlay nf_tables nft_chain_nat nft_masq nft_ct nft_fib_inet nft_reject_inet
nft list ruleset
mapfile -t selected </opt/hearth/selected
# shellcheck disable=SC1091
. /opt/hearth/environment
cd /opt/hearth/tests || exit 1
python3 -m pytest -c pytest.ini --rootdir . -p no:cacheprovider -p report -q "${selected[@]}" </dev/null
printf '{"end": %d}\n' $? >/dev/ttyS1
sync
systemctl poweroff --force --force
