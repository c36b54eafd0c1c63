import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import {
  type Campaign,
  newCampaign,
  type Recording,
  record,
  removeCampaign,
  replayHere,
  replayInGuest,
  verdictsOf,
} from '../test/power/campaign.ts';
import { drivers, type PowerDriver } from '../test/power/machine.ts';
import { keyOf, type Verdict } from '../test/power/plan.ts';
import { summary } from '../test/power/verdicts.ts';

const usage = `usage: npm run test:power -- [options]

Records one run of each operation of flyd in a guest, cuts the power at many moments of it, lets the
machine come back each time and judges it. Ends with a table: cuts of each driver and operation, by what
became of the writes that were under way (bare: none stayed; subset: some; torn: pieces of 4 KiB). Root;
scripts/setup-tests installs what it wants. An hour; cuts of devmapper cost 4 to 10 seconds each, others
less than half a second.

  --overlay N        cuts with the overlay driver, on this machine (default 600)
  --erofs N          the same with the erofs driver (default 300)
  --btrfs N          the same with the btrfs driver, one after the other (default 150)
  --devmapper N      cuts with the devmapper driver, in guests (default 600)
  --seed N           choose the same cuts again (of another recording)
  --jobs N           replays side by side on this machine (default: half the cores)
  --guests N         guests side by side (default 1)
  --campaign DIR     use the recordings of an earlier campaign, which was kept because a cut failed, or
                     which was interrupted: cuts that were judged are not made again
  --recording NAME   with --campaign and --only: devmapper, overlay, erofs or btrfs
  --only CUT         make this one cut again, as the failure named it
  --keep             keep the recordings also when all is well
`;

const { values } = parseArgs({
  options: {
    overlay: { type: 'string', default: '600' },
    erofs: { type: 'string', default: '300' },
    btrfs: { type: 'string', default: '150' },
    devmapper: { type: 'string', default: '600' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
    jobs: { type: 'string', default: String(Math.max(1, Math.floor(availableParallelism() / 2))) },
    guests: { type: 'string', default: '1' },
    campaign: { type: 'string' },
    recording: { type: 'string', default: 'overlay' },
    only: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}

const minutesMax = 600;
const seed = Number(values.seed);
const only = values.only;
const started = performance.now();
const seconds = (): number => Math.round((performance.now() - started) / 1000);

const campaign: Campaign = values.campaign === undefined ? newCampaign() : { folder: values.campaign };
if (!existsSync(campaign.folder)) throw new Error(`no campaign in ${campaign.folder}`);
const wanted = drivers
  .filter((driver) => Number(values[driver]) > 0)
  .map((driver): Recording => ({ name: driver, driver }));
if (values.campaign === undefined) {
  console.log(`recording into ${campaign.folder} ...`);
  await record(campaign, wanted, minutesMax);
  console.log(`recorded after ${seconds()} s; FLYD_TEST_SEED=${seed}`);
}

const byDriver = new Map<string, readonly Verdict[]>();
if (only !== undefined) {
  const driver = drivers.find((name) => name === values.recording) ?? 'overlay';
  const verdicts = await replay({ name: values.recording, driver }, '1/1', { count: 1, only });
  byDriver.set(driver, verdicts.filter((verdict) => keyOf(verdict) === only).slice(-1));
} else {
  const inGuests = wanted.filter(({ driver }) => driver === 'devmapper');
  const here = wanted.filter(({ driver }) => driver !== 'devmapper');
  const inTurn = async (): Promise<void> => {
    for (const recording of here) await replayAll(recording);
  };
  await Promise.all([...inGuests.map(replayAll), inTurn()]);
}
const all = [...byDriver.values()].flat();
const bad = all.filter(({ problems }) => problems.length > 0);
for (const [driver, verdicts] of byDriver)
  for (const verdict of verdicts.filter(({ problems }) => problems.length > 0))
    console.log(
      `\n--recording ${driver} --only ${keyOf(verdict)} (${verdict.step}):\n  ${verdict.problems.join('\n  ')}`,
    );
console.log(`\n${summary(byDriver).join('\n')}`);
console.log(`\n${all.length} cuts in ${seconds()} s, ${bad.length} did not come back whole`);
if (bad.length > 0) console.log(`recordings: ${campaign.folder} (--campaign, --recording, --only)`);
else if (!values.keep && values.campaign === undefined) removeCampaign(campaign);
process.exitCode = bad.length === 0 && all.length > 0 ? 0 : 1;

function replay(
  recording: Recording,
  shard: string,
  cuts: { count: number; only?: string },
): Promise<Verdict[]> {
  const options = { ...cuts, seed, shard };
  return recording.driver === 'devmapper'
    ? replayInGuest(campaign, recording, options, minutesMax)
    : replayHere(campaign, recording, options);
}

async function replayAll(recording: Recording): Promise<void> {
  const { name, driver } = recording;
  const jobs = jobsOf(driver);
  const shards = Array.from({ length: jobs }, (_, n) => `${n + 1}/${jobs}`);
  await Promise.all(shards.map((shard) => replay(recording, shard, { count: Number(values[driver]) })));
  const verdicts = verdictsOf(campaign, name);
  byDriver.set(driver, verdicts);
  console.log(`${driver}: ${verdicts.length} cuts after ${seconds()} s`);
}

/** The kernel takes two copies of one btrfs for the same, so these come back one after the other. */
function jobsOf(driver: PowerDriver): number {
  if (driver === 'btrfs') return 1;
  return Number(driver === 'devmapper' ? values.guests : values.jobs);
}
