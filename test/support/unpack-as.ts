/** Unpacks a layer as whoever runs it, in flat form, without privileges, and prints the result as JSON. */
import { defaultLimits } from '#core/limits';
import { unpackLayer } from '#infra/layer/unpack';

const [blobPath = '', rootfs = ''] = process.argv.slice(2);
const result = await unpackLayer({
  blobPath,
  expected: {},
  target: { rootfs, form: 'flat', lowers: [], privileged: false },
  limits: defaultLimits,
  signal: new AbortController().signal,
});
process.stdout.write(JSON.stringify(result));
