import { openSync, readSync, writeSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { bind, check } from '#infra/sys/libc';

/**
 * A line with a delay and a rate between two TUN devices, for kernels without netem:
 * `wire.ts NAME NAME DELAY_MS BITS_PER_SECOND`. Prints a line once both devices are there; they go with
 * this process. Large segments stay whole (IFF_VNET_HDR), as between virtual Ethernet devices. In each
 * direction one thread reads and another writes, because both block.
 */
const slots = 2048;
const slotBytes = 66 * 1024;
/** What a router would hold before it drops: twice what is under way on 1 Gbit/s and 20 ms. */
const queueBytesMax = 5_000_000;

interface Direction {
  role: 'read' | 'write';
  fd: number;
  delayMs: number;
  rate: number;
  /** Packets read, packets written, bytes between them. */
  counts: Int32Array;
  lengths: Int32Array;
  arrivals: Float64Array;
  data: Uint8Array;
}

/** ioctl(2) of linux/if_tun.h. */
function openTun(name: string): number {
  const ioctl = bind('ioctl', 'int', ['int', 'long', 'ptr']);
  const setOffload = bind('ioctl', 'int', ['int', 'long', 'long']);
  const [TUNSETIFF, TUNSETOFFLOAD] = [0x400454ca, 0x400454d0];
  const [IFF_TUN, IFF_NO_PI, IFF_VNET_HDR] = [0x1, 0x1000, 0x4000];
  const [TUN_F_CSUM, TUN_F_TSO4] = [1, 2];
  const fd = openSync('/dev/net/tun', 'r+');
  const request = Buffer.alloc(40);
  request.write(name);
  request.writeUInt16LE(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, 16);
  check(ioctl(fd, TUNSETIFF, request), 'ioctl TUNSETIFF', name);
  check(setOffload(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4), 'ioctl TUNSETOFFLOAD', name);
  return fd;
}

const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

function read({ fd, counts, lengths, arrivals, data }: Direction): void {
  const unwanted = Buffer.alloc(slotBytes);
  for (let packets = 0; ; ) {
    const full = packets - Atomics.load(counts, 1) >= slots || Atomics.load(counts, 2) > queueBytesMax;
    const slot = packets % slots;
    const target = full ? unwanted : data.subarray(slot * slotBytes, (slot + 1) * slotBytes);
    const length = readSync(fd, target);
    if (full) continue;
    lengths[slot] = length;
    arrivals[slot] = nowMs();
    packets++;
    Atomics.add(counts, 2, length);
    Atomics.store(counts, 0, packets);
    Atomics.notify(counts, 0);
  }
}

function write({ fd, counts, lengths, arrivals, data, delayMs, rate }: Direction): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  let freeMs = 0;
  for (let packets = 0; ; packets++) {
    Atomics.wait(counts, 0, packets);
    const slot = packets % slots;
    const length = lengths[slot] ?? 0;
    freeMs = Math.max(freeMs, arrivals[slot] ?? 0) + (length * 8e3) / rate;
    const waitMs = freeMs + delayMs - nowMs();
    if (waitMs > 0) Atomics.wait(pause, 0, 0, waitMs);
    try {
      writeSync(fd, data.subarray(slot * slotBytes, slot * slotBytes + length));
    } catch {
      // The device is down while it is moved into its namespace: the packet is lost, as on any line.
    }
    Atomics.sub(counts, 2, length);
    Atomics.store(counts, 1, packets + 1);
  }
}

if (isMainThread) {
  const [here = '', there = '', delayMs, rate] = process.argv.slice(2);
  const [from, to] = [openTun(here), openTun(there)];
  for (const [source, target] of [
    [from, to],
    [to, from],
  ] as const) {
    const shared = {
      delayMs: Number(delayMs),
      rate: Number(rate),
      counts: new Int32Array(new SharedArrayBuffer(16)),
      lengths: new Int32Array(new SharedArrayBuffer(slots * 4)),
      arrivals: new Float64Array(new SharedArrayBuffer(slots * 8)),
      data: new Uint8Array(new SharedArrayBuffer(slots * slotBytes)),
    };
    for (const one of [
      { ...shared, role: 'read', fd: source },
      { ...shared, role: 'write', fd: target },
    ] satisfies Direction[])
      new Worker(new URL(import.meta.url), { workerData: one, trackUnmanagedFds: false });
  }
  console.log('ready');
} else {
  const direction = workerData as Direction;
  (direction.role === 'read' ? read : write)(direction);
}
