# The first boot: a state directory on a disk that lasts, with its pool on loop files, and two activations.
# Then the power goes: nothing is unmounted.
export DM_DISABLE_UDEV=1 NODE_COMPILE_CACHE=/tmp/node-compile-cache
mkfs.ext4 -q /dev/vda
mkdir -p /run/disk
mount /dev/vda /run/disk
mkdir -m 700 /run/disk/state
flyd() { "$NODE" bin/flyd.js "$@" --state-dir /run/disk/state --mount-root /run/images; }
"$NODE" bin/flyd.js s3 serve "$FAMILIES" --json >/run/served.json &
until [ -s /run/served.json ]; do sleep 0.5; done
endpoint=$("$NODE" -p 'JSON.parse(require("fs").readFileSync("/run/served.json", "utf8")).endpoint')
flyd pull small --no-activate --source s3://bucket/ --endpoint "$endpoint" --anonymous \
  --driver devmapper --pool-size 192M --volume-size 128M
flyd activate small --name kept
echo 'written before' >"$(echo /run/images/act-*/rootfs)/note"
flyd activate small --name passing --ephemeral
sync
echo b >/proc/sysrq-trigger
sleep 60
