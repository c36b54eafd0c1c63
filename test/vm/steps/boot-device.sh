# A thin device that holds a rootfs/ becomes the root of a guest inside this guest. The emulated
# processor has AMD's virtualisation, so that the inner guest is not emulated twice.
export DM_DISABLE_UDEV=1

blkdiscard /dev/vm/data
dd if=/dev/zero of=/dev/vm/meta bs=4096 count=1 status=none conv=fsync
sectors=$(blockdev --getsz /dev/vm/data)
dmsetup create boot-pool --table "0 $sectors thin-pool /dev/vm/meta /dev/vm/data 128 0"
dmsetup message boot-pool 0 'create_thin 1'
dmsetup create boot-root --table '0 262144 thin /dev/mapper/boot-pool 1'
mkfs.ext4 -q -E nodiscard /dev/mapper/boot-root
mkdir -p /run/boot
mount /dev/mapper/boot-root /run/boot
mkdir -p /run/boot/rootfs/bin /run/boot/rootfs/etc
cp "$(command -v busybox)" /run/boot/rootfs/bin/busybox
echo 'from a thin device' >/run/boot/rootfs/etc/motd
umount /run/boot

modprobe kvm-amd
scripts/vm --kvm --memory 256M --cpus 1 --timeout 240 --boot-image /dev/mapper/boot-root -- \
  /bin/busybox sh -c 'busybox cat /etc/motd; busybox echo "written by the inner guest" >/etc/note'

mount -o ro /dev/mapper/boot-root /run/boot
cat /run/boot/rootfs/etc/note
umount /run/boot
dmsetup remove boot-root
dmsetup remove boot-pool
