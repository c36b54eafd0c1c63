# The second boot, with the disk of the first: everything comes back by one `flyd resume`.
export DM_DISABLE_UDEV=1
mkdir -p /run/disk
mount /dev/vda /run/disk
flyd() { "$NODE" bin/flyd.js "$@" --state-dir /run/disk/state --mount-root /run/images; }
[ -z "$(losetup -a)$(dmsetup ls | grep -v 'No devices')" ]
flyd resume
flyd doctor --verify
echo "note: $(cat /run/images/act-*/rootfs/note)"
echo "mounted: $(ls /run/images | wc -l)"
