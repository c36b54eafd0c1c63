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
} from '../test/power/campaign.ts';
import { keyOf, type Verdict } from '../test/power/plan.ts';

const usage = `usage: npm run test:power -- [options]

Records one run of each operation of flyd in a guest, cuts the power at many moments of it, lets the
machine come back each time and judges it. Root; scripts/setup-tests installs what it wants.

  --overlay N        cuts with the overlay driver, on this machine (default 1000)
  --devmapper N      cuts with the devmapper driver, in a guest: seconds each (default 100)
  --seed N           choose the same cuts again (of another recording)
  --jobs N           replays side by side on this machine (default: half the cores)
  --campaign DIR     use the recordings of an earlier campaign, which was kept because a cut failed
  --recording NAME   with --campaign and --only: devmapper, overlay or canary
  --only CUT         make this one cut again, as the failure named it
  --keep             keep the recordings also when all is well
`;

const { values } = parseArgs({
  options: {
    overlay: { type: 'string', default: '1000' },
    devmapper: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
    jobs: { type: 'string', default: String(Math.max(1, Math.floor(availableParallelism() / 2))) },
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
const devmapper: Recording = { name: 'devmapper', driver: 'devmapper' };
const overlay: Recording = { name: 'overlay', driver: 'overlay' };
const seed = Number(values.seed);
const only = values.only;
const started = performance.now();
const seconds = (): number => Math.round((performance.now() - started) / 1000);

const campaign: Campaign = values.campaign === undefined ? newCampaign() : { folder: values.campaign };
if (!existsSync(campaign.folder)) throw new Error(`no campaign in ${campaign.folder}`);
const wanted = [overlay, devmapper].filter(({ driver }) => Number(values[driver]) > 0);
if (values.campaign === undefined) {
  console.log(`recording into ${campaign.folder} ...`);
  await record(campaign, wanted, minutesMax);
  console.log(`recorded after ${seconds()} s; FLYD_TEST_SEED=${seed}`);
}

const all: Verdict[] = [];
if (only !== undefined) {
  const options = { count: 1, seed, only };
  const driver = values.recording === 'devmapper' ? 'devmapper' : 'overlay';
  const recording = { name: values.recording, driver } as const;
  const verdicts =
    driver === 'devmapper'
      ? await replayInGuest(campaign, recording, options, minutesMax)
      : await replayHere(campaign, recording, options);
  all.push(...verdicts.filter((verdict) => keyOf(verdict) === only).slice(-1));
} else {
  const parts = await Promise.all(wanted.map((recording) => replayAll(recording)));
  all.push(...parts.flat());
}
const bad = all.filter(({ problems }) => problems.length > 0);
for (const verdict of bad) console.log(`\ncut ${keyOf(verdict)}:\n  ${verdict.problems.join('\n  ')}`);
console.log(`\n${all.length} cuts in ${seconds()} s, ${bad.length} did not come back whole`);
if (bad.length > 0) console.log(`recordings: ${campaign.folder} (--campaign, --recording, --only)`);
else if (!values.keep && values.campaign === undefined) removeCampaign(campaign);
process.exitCode = bad.length === 0 && all.length > 0 ? 0 : 1;

async function replayAll(recording: Recording): Promise<Verdict[]> {
  const count = Number(values[recording.driver]);
  const jobs = recording.driver === 'devmapper' ? 1 : Number(values.jobs);
  const shards = Array.from({ length: jobs }, (_, n) => `${n + 1}/${jobs}`);
  const replay = (shard: string): Promise<Verdict[]> =>
    recording.driver === 'devmapper'
      ? replayInGuest(campaign, recording, { count, seed, shard }, minutesMax)
      : replayHere(campaign, recording, { count, seed, shard });
  const verdicts = (await Promise.all(shards.map(replay))).reduce((most, part) =>
    part.length > most.length ? part : most,
  );
  const torn = verdicts.filter(({ torn: { of } }) => of > 0).length;
  console.log(
    `${recording.name}: ${verdicts.length} cuts, ${torn} of them with writes torn, after ${seconds()} s`,
  );
  return verdicts;
}
