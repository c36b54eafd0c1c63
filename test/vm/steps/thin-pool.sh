# A thin pool on two blank disks, by dmsetup alone: whether this guest is what the other steps need.
export DM_DISABLE_UDEV=1 # no udev here: dmsetup makes its nodes itself

sectors=$(blockdev --getsz /dev/vm/data)
dmsetup create smoke-pool --table "0 $sectors thin-pool /dev/vm/meta /dev/vm/data 128 0"
echo "empty: $(dmsetup status smoke-pool)"

dmsetup message smoke-pool 0 'create_thin 1'
dmsetup create smoke-base --table '0 1048576 thin /dev/mapper/smoke-pool 1'
mkfs.ext4 -q -E nodiscard /dev/mapper/smoke-base
mkdir -p /run/smoke
mount /dev/mapper/smoke-base /run/smoke
echo base >/run/smoke/file
umount /run/smoke
dmsetup remove smoke-base

dmsetup message smoke-pool 0 'create_snap 2 1'
dmsetup create smoke-snap --table '0 1048576 thin /dev/mapper/smoke-pool 2'
mount /dev/mapper/smoke-snap /run/smoke
[ "$(cat /run/smoke/file)" = base ]
echo snap >/run/smoke/file
umount /run/smoke
dmsetup remove smoke-snap

dmsetup create smoke-base --table '0 1048576 thin /dev/mapper/smoke-pool 1'
mount -o ro /dev/mapper/smoke-base /run/smoke
echo "base holds: $(cat /run/smoke/file)"
umount /run/smoke
dmsetup remove smoke-base

echo "used: $(dmsetup status smoke-pool)"
dmsetup remove smoke-pool
thin_check /dev/vm/meta
