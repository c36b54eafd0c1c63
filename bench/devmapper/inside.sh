# Runs in a guest: pulls one family by flyd's devmapper driver, then by containerd's devmapper snapshotter, each
# into a thin pool of its own that has another image already, and prints what the kernel counted:
# `subject,what,count`, a line each.
#
#   inside.sh NODE IMAGE FAMILY CONTAINERD
set -euo pipefail
node=$1 image=$2 family=$3 containerd=$4
export DM_DISABLE_UDEV=1
tracing=/sys/kernel/tracing
mountpoint -q "$tracing" || mount -t tracefs tracefs "$tracing"
block_sectors=128 # 64 KiB, flyd's and containerd's usual

new_disks() {
  blkdiscard /dev/vm/data
  dd if=/dev/zero of=/dev/vm/meta bs=4096 count=1 status=none conv=fsync
}

# Of both disks: requests and sectors written, flushes (Documentation/block/stat.rst).
disks() { cat /sys/class/block/"$(basename "$(readlink -f /dev/vm/data)")"/stat /sys/class/block/"$(basename "$(readlink -f /dev/vm/meta)")"/stat; }
written() { disks | awk '{ sectors += $7; writes += $5; flushes += $16 } END { print sectors * 512, writes, flushes }'; }

# Blocks of a pool that are used: metadata, data (thin-pool.rst).
used() { dmsetup status --noflush "$pool" | awk '{ split($5, meta, "/"); split($6, data, "/"); print meta[1], data[1] }'; }

count() { # SUBJECT COMMAND...: what the kernel does for it, until all is on the disk
  local subject=$1
  shift
  sync
  local before after blocks started took
  before=$(written)
  blocks=$(used)
  started=$EPOCHREALTIME
  echo >"$tracing/trace"
  echo 8192 >"$tracing/buffer_size_kb"
  echo 'cmd >= 0xc138fd00 && cmd <= 0xc138fdff' >"$tracing/events/syscalls/sys_enter_ioctl/filter"
  echo 1 >"$tracing/events/syscalls/sys_enter_ioctl/enable"
  "$@"
  sync
  echo 0 >"$tracing/events/syscalls/sys_enter_ioctl/enable"
  after=$(written)
  took=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.0f", b - a }')
  awk -v subject="$subject" -v before="$before" -v after="$after" '
    /cmd: / {
      match($0, /cmd: (0x)?c138fd[0-9a-f][0-9a-f]/)
      code = substr($0, RSTART + RLENGTH - 2, 2)
      all++
      kind[code]++
    }
    END {
      split(before, b, " "); split(after, a, " ")
      print subject ",bytes written," a[1] - b[1]
      print subject ",write requests," a[2] - b[2]
      print subject ",flushes," a[3] - b[3]
      print subject ",device-mapper calls," all + 0
      print subject ",messages to the pool," kind["0e"] + 0
      print subject ",devices made," kind["03"] + 0
      print subject ",suspends and resumes," kind["06"] + 0
    }' "$tracing/trace"
  used | awk -v subject="$subject" -v before="$blocks" -v took="$took" '{
    split(before, b, " ")
    print subject ",thin blocks of 64 KiB," $2 - b[2]
    print subject ",metadata blocks of 4 KiB," $1 - b[1]
    print subject ",emulated seconds," took
  }'
}

flyd() { "$node" bin/flyd.js "$@" --state-dir /run/flyd --mount-root /run/images; }
pull_flyd() { # FAMILY OPTION...
  local wanted=$1
  shift
  flyd pull "$wanted" --source s3://images --endpoint "$endpoint" --anonymous --driver devmapper \
    --volume-size 4G --json "$@" >/run/flyd.json
}

ctr() { "$containerd/ctr" --address /run/ctd/sock --namespace bench "$@"; }
pull_containerd() { # FAMILY [FOLDER]
  local name
  name=127.0.0.1:$(cat /run/registry.port)/bench/$1:$1
  ctr images pull --plain-http --snapshotter devmapper "$name" >/run/ctr.log 2>&1 || { cat /run/ctr.log /run/ctd.log >&2; return 1; }
  [ $# -eq 1 ] || ctr images mount --rw --snapshotter devmapper "$name" "$2" >/dev/null
}

"$node" bin/flyd.js s3 serve "$image/s3" --json >/run/served.json &
"$node" bench/pull/registry.ts "$image/oci" 127.0.0.1 >/run/registry.port &
until [ -s /run/served.json ] && [ -s /run/registry.port ]; do sleep 0.5; done
endpoint=$("$node" -p "JSON.parse(require('fs').readFileSync('/run/served.json', 'utf8')).endpoint")

new_disks
pull_flyd distroless --no-activate --pool-data /dev/vm/data --pool-meta /dev/vm/meta
pool=$(dmsetup ls --target thin-pool | cut -f1)
count flyd pull_flyd "$family"
umount /run/images/*
dmsetup ls --target thin | cut -f1 | xargs -r -n1 dmsetup remove
dmsetup remove "$pool"

new_disks
pool=bench
dmsetup create "$pool" --table "0 $(blockdev --getsz /dev/vm/data) thin-pool /dev/vm/meta /dev/vm/data $block_sectors 1000"
mkdir -p /run/ctd
cat >/run/ctd/config.toml <<END
version = 3
root = "/run/ctd/root"
state = "/run/ctd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"]
[grpc]
  address = "/run/ctd/sock"
[plugins."io.containerd.snapshotter.v1.devmapper"]
  root_path = "/run/ctd/devmapper"
  pool_name = "$pool"
  base_image_size = "4GB"
  fs_type = "ext4"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  differ = "walking"
  platform = "linux/$("$node" -p 'process.arch === "x64" ? "amd64" : process.arch')"
  snapshotter = "devmapper"
END
"$containerd/containerd" --config /run/ctd/config.toml >/run/ctd.log 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 0.5; done
pull_containerd distroless
mkdir /run/tree
count containerd pull_containerd "$family" /run/tree
