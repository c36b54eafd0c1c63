import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { driverNames } from '#core/image';
import { defaultLimits } from '#core/limits';
import { defaultWarnAt } from '#core/pool-fill';
import { defaultTimeouts, type Settings } from '../config.ts';
import { parseBytes, parseCount, parseSwitch, parseTable } from './values.ts';

/** A type whose values come as themselves from a file, or as text from a flag or a variable. */
const written = <Value>(inner: z.ZodType<Value>, parse: (text: string) => unknown, what: string) =>
  z.unknown().transform((given, context) => {
    const parsed = inner.safeParse(typeof given === 'string' ? parse(given) : given);
    if (parsed.success) return parsed.data;
    context.addIssue({ code: 'custom', message: `${JSON.stringify(given)} is not ${what}` });
    return z.NEVER;
  });

const whole = z.int().positive();
const text = z.string().min(1, 'is empty');
const path = text.refine(isAbsolute, 'is not an absolute path');
const bytes = written(whole, parseBytes, 'a size: write 512M, 10G or a number of bytes');
const count = written(whole, parseCount, 'a whole number above zero');
const flag = written(z.boolean(), parseSwitch, 'true or false');

/** A table of whole numbers with these names, such as the limits. */
const table = <Name extends string>(names: readonly Name[]) =>
  z.unknown().transform((given, context): Partial<Record<Name, number>> => {
    const raw = typeof given === 'string' ? parseTable(given) : given;
    if (typeof raw !== 'object' || raw === null) {
      context.addIssue({ code: 'custom', message: 'is not name=value,…' });
      return z.NEVER;
    }
    const known: Partial<Record<Name, number>> = {};
    for (const [name, value] of Object.entries(raw)) {
      const parsed = bytes.safeParse(value);
      if (!(names as readonly string[]).includes(name))
        context.addIssue({ code: 'custom', message: `${name} is none of ${names.join(', ')}` });
      else if (!parsed.success)
        context.addIssue({ code: 'custom', message: `${name} is not a number above zero` });
      else known[name as Name] = parsed.data;
    }
    return known;
  });

const retryNames = ['attempts', 'pauseMs', 'pauseMsMax', 'pendingPauseMs', 'pendingPauseMsMax'] as const;

const shape = {
  stateDir: path,
  mountRoot: path,
  source: text,
  endpoint: text,
  region: text,
  anonymous: flag,
  insecure: flag,
  platform: text,
  allowHosts: written(z.array(text), (given) => given.split(','), 'a list of hosts'),
  authFile: path,
  verifier: path,
  driver: z.enum(['auto', ...driverNames], `is none of auto, ${driverNames.join(', ')}`),
  parallel: count,
  verbosity: z.int().min(0),
  pool: text,
  poolData: path,
  poolMeta: path,
  poolName: text,
  poolSize: bytes,
  poolMetaSize: bytes,
  blockSize: bytes,
  lowWater: count,
  skipBlockZeroing: flag,
  volumeSize: bytes,
  fs: z.enum(['ext4', 'xfs'], 'is neither ext4 nor xfs'),
  limits: table(Object.keys(defaultLimits) as (keyof typeof defaultLimits)[]),
  warnAt: table(Object.keys(defaultWarnAt) as (keyof typeof defaultWarnAt)[]).refine(
    (shares) => Object.values(shares).every((percent) => percent <= 100),
    'is more than 100 percent',
  ),
  timeouts: table(Object.keys(defaultTimeouts) as (keyof typeof defaultTimeouts)[]),
  retry: table(retryNames),
  stuckAfterMs: count,
  keepRunsDays: count,
} satisfies { [Key in keyof Settings]: z.ZodType };

export type Given = { [Key in keyof typeof shape]?: z.output<(typeof shape)[Key]> };

/** The value of one setting, or why it cannot be. */
export function checkSetting(
  key: string,
  value: unknown,
): { ok: true; value: unknown } | { ok: false; problems: string[] } {
  const type = shape[key as keyof typeof shape] as z.ZodType | undefined;
  if (type === undefined) return { ok: false, problems: ['is no setting of flyd'] };
  const parsed = type.safeParse(value);
  return parsed.success
    ? { ok: true, value: parsed.data }
    : { ok: false, problems: parsed.error.issues.map((issue) => issue.message) };
}
