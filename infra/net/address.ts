import { BlockList, isIP } from 'node:net';
import { type FlydError, unrecoverable } from '#core/errors';

/**
 * What an address is for. A name that a stranger chose (a redirect, a realm) may lead to `public` ones
 * only: behind the others are the services of this machine and its network, which trust whoever can
 * reach them. `metadata` is link-local and the like: no image is there, but a cloud's credentials are.
 */
export type AddressKind = 'public' | 'internal' | 'metadata';

const listOf = (...subnets: readonly string[]): BlockList => {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = '', prefix = ''] = subnet.split('/');
    list.addSubnet(address, Number(prefix), isIP(address) === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
};

// IANA special-purpose address registries (RFC 6890 and after). Of those, flyd never speaks to these at all,
// unless the very address was typed: "this network", link-local, multicast, reserved; clouds' metadata in
// unique-local space.
const metadata = listOf(
  ...['0.0.0.0/8', '169.254.0.0/16', '192.0.0.0/24', '224.0.0.0/4', '240.0.0.0/4', '100.100.100.200/32'],
  ...['::/128', 'fe80::/10', 'ff00::/8', 'fd00:ec2::/32'],
);
const internal = listOf(
  ...['10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '172.16.0.0/12', '192.0.2.0/24', '192.168.0.0/16'],
  ...[
    '198.18.0.0/15',
    '198.51.100.0/24',
    '203.0.113.0/24',
    '::1/128',
    'fc00::/7',
    'fec0::/10',
    '2001:db8::/32',
  ],
);
/** IPv6 addresses that mean an IPv4 one: mapped, compatible, NAT64 (RFC 6052), 6to4; by where those 32 bits stand. */
const carriers: readonly { prefix: BlockList; at: number }[] = [
  { prefix: listOf('::ffff:0:0/96'), at: 6 },
  { prefix: listOf('::/96'), at: 6 },
  { prefix: listOf('64:ff9b::/96'), at: 6 },
  { prefix: listOf('2002::/16'), at: 1 },
];

/** The kind of an IPv4 or IPv6 address, without brackets. What is no address is `metadata`: nobody dials it. */
export function addressKind(address: string): AddressKind {
  const bare = address.split('%')[0] ?? '';
  const family = isIP(bare);
  if (family === 0) return 'metadata';
  if (family === 4) return kindIn(bare, 'ipv4');
  if (bare === '::1') return 'internal';
  const carrier = carriers.find(({ prefix }) => prefix.check(bare, 'ipv6'));
  return carrier === undefined
    ? kindIn(bare, 'ipv6')
    : worse(kindIn(bare, 'ipv6'), kindIn(ipv4In(bare, carrier.at), 'ipv4'));
}

const kindIn = (address: string, family: 'ipv4' | 'ipv6'): AddressKind =>
  metadata.check(address, family) ? 'metadata' : internal.check(address, family) ? 'internal' : 'public';

const worse = (a: AddressKind, b: AddressKind): AddressKind =>
  [a, b].includes('metadata') ? 'metadata' : [a, b].includes('internal') ? 'internal' : 'public';

/** The IPv4 address in the 16-bit groups `at` and the next of an IPv6 address. */
function ipv4In(address: string, at: number): string {
  // A URL writes IPv6 in its one canonical form, a dotted end as two groups (WHATWG URL, "IPv6 serializer").
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array<string>(8 - left.length - right.length).fill('0');
  const groups = [...left, ...(tail === undefined ? [] : zeros), ...right].map((group) =>
    Number.parseInt(group, 16),
  );
  const [high = 0, low = 0] = groups.slice(at, at + 2);
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** Who chose a host: the operator, or a stranger's answer. */
export interface HostRule {
  /** `host[:port]`, as messages have it. */
  host: string;
  /** The operator named this host. */
  named: boolean;
}

/** Null when the address may be dialled for that host. `literal`: the address itself is what was named. */
export function refuseAddress(
  address: string,
  { host, named }: HostRule,
  literal: boolean,
): FlydError | null {
  const kind = addressKind(address);
  if (kind === 'public' || (named && (kind === 'internal' || literal))) return null;
  return unrecoverable(
    'source_refused',
    `${host} leads to ${address}, which is ${kind === 'internal' ? 'inside this network' : 'link-local or reserved'}`,
    {
      subject: host,
      hint: named
        ? 'if that is right, name the address itself'
        : `if that is right, allow it: --allow-host ${host}`,
      facts: { address },
    },
  );
}
