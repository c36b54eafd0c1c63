# The sample families ($FAMILIES) through a real thin pool: pulled, activated twice, written to apart, attached
# as a device and booted from, killed on the way and resumed, and cleaned up to nothing.
export DM_DISABLE_UDEV=1
state=/run/flyd
images=/run/images
flyd() { "$NODE" bin/flyd.js "$@" --state-dir "$state" --mount-root "$images"; }
# field FILE EXPRESSION: of the JSON document `it` in the file.
field() { "$NODE" -p "const it = JSON.parse(require('fs').readFileSync('$1', 'utf8')); $2"; }

"$NODE" bin/flyd.js s3 serve "$FAMILIES" --json >/run/served.json &
server=$!
trap 'kill $server' EXIT
until [ -s /run/served.json ]; do sleep 0.5; done
endpoint=$(field /run/served.json it.endpoint)
pool=(--driver devmapper --pool-data /dev/vm/data --pool-meta /dev/vm/meta --volume-size 512M)
from=(--source s3://bucket/ --endpoint "$endpoint" --anonymous)

echo '# pull'
blkdiscard /dev/vm/data
dd if=/dev/zero of=/dev/vm/meta bs=4096 count=1 status=none conv=fsync
flyd pull hello "${from[@]}" "${pool[@]}" --json --results /run/first.json >/run/first.out
cmp /run/first.out /run/first.json
first=$(field /run/first.json it.activation.rootfs)
image=$(field /run/first.json it.image.id)
[ "$(field /run/first.json it.base.driver)" = devmapper ]
field /run/first.json '`pulled in ${it.seconds.total} s`'
[ -e "$first/app/main.cjs" ] && [ ! -e "$first/etc/motd" ] && [ ! -e "$first/var/cache/app/stale" ]
chroot "$first" /usr/local/bin/node --version

echo '# a second activation, independent of the first'
flyd activate "$image" --json >/run/second.json
second=$(field /run/second.json it.output.rootfs)
[ "$first" != "$second" ]
echo one >"$first/etc/note"
echo two >"$second/etc/note"
sync
[ "$(cat "$first/etc/note" "$second/etc/note" | tr '\n' ' ')" = 'one two ' ]

echo '# the same family again: everything is reused'
flyd pull hello "${from[@]}" "${pool[@]}" --json >/run/again.json
[ "$(field /run/again.json '[it.base.reused, it.bytes.fetched, it.image.id].join()')" = "true,0,$image" ]
[ ! -e "$(field /run/again.json it.activation.rootfs)/etc/note" ]

echo '# killed while it unpacks, and resumed'
killed=0
FLYD_FAULT='effect:volume.unpack:after#1:kill' flyd pull counter "${from[@]}" "${pool[@]}" || killed=$?
[ "$killed" = 137 ]
flyd resume --all --json >/run/resumed.json
flyd activations --json >/run/activations.json
field /run/activations.json 'it.map(({ family, state, driver }) => [family, state, driver].join(" ")).sort().join("\n")'

echo '# attached as a device, and booted from'
flyd activate "$image" --attach device --name machine --json >/run/attached.json
device=$(field /run/attached.json it.output.device)
[ -b "$device" ]
[ "$(field /run/attached.json it.output.path)" = null ]
modprobe kvm-amd
scripts/vm --kvm --memory 384M --cpus 1 --timeout 300 --boot-image "$device" -- \
  /bin/sh -c 'read -r line </app/config.json; echo "booted: $line"; echo written >/etc/by-the-machine'
mount -o ro "$device" /mnt
cat /mnt/rootfs/etc/by-the-machine
umount /mnt

echo '# cleaned up to nothing'
for id in $(field /run/activations.json 'it.map(({ id }) => id).join(" ")') machine; do flyd deactivate "$id"; done
for id in $(flyd images --json >/run/images.json && field /run/images.json 'it.map(({ id }) => id).join(" ")'); do
  flyd rm "$id"
done
flyd gc
name=$(dmsetup table --target thin-pool | cut -d: -f1)
echo "used blocks: $(dmsetup status "$name" | cut -d' ' -f6)"
printf '%s\n' "dm $name" 'volume devmapper/mnt' >/run/expected
if test/support/oracle --state "$state" --mount-root "$images" --devices --thin-pool "$name" --expect /run/expected; then
  echo 'nothing is left but the pool'
fi
scripts/cleanup --state-dir "$state" --mount-root "$images" --yes
echo "devices: $(dmsetup ls)"
