# Bad days of the pool that reboot-after left, on loop files: a mapping and a device that no row tells of, a second
# loop device over its data; then a larger pool. Each is found by `flyd doctor`, said plainly, and mended, but for
# the device itself.
export DM_DISABLE_UDEV=1
flyd() { "$NODE" bin/flyd.js "$@" --state-dir /run/disk/state --mount-root /run/images; }
pool=$(dmsetup table --target thin-pool | cut -d: -f1)
dmsetup message "$pool" 0 'create_thin 9000000'
stray=$pool-act-00000000000000ee
dmsetup create "$stray" --uuid "$stray" --noudevsync --noudevrules --table "0 2048 thin $(dmsetup info -c --noheadings --separator : -o major,minor "$pool") 9000000"
flyd doctor >/run/said || true
grep -E 'world-known +act-00000000000000ee|pool-devices +9000000' /run/said
sleep 600 <"/dev/mapper/$stray" &
holder=$!
flyd doctor --fix && exit 1
kill $holder
wait $holder || true
flyd doctor --fix || true # the device itself stays: it might be somebody's data
[ ! -e "/dev/mapper/$stray" ]
dmsetup message "$pool" 0 'delete 9000000'
flyd doctor --verify

second=$(losetup --find --show /run/disk/state/pool/data)
flyd doctor >/run/said || true
grep -E "loop +$second over .* is stale: the file has another loop device" /run/said
flyd activate small --name vain && exit 1
flyd doctor --fix --pool-size 256M
losetup --list --noheadings -O NAME,BACK-FILE
dmsetup table "$pool"
flyd activate small --name again
flyd doctor --verify
