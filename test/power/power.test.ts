import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { whyNot } from '../support/needs.ts';
import { whyNoGuest } from '../vm/guest.ts';
import {
  type Campaign,
  newCampaign,
  type Recording,
  record,
  removeCampaign,
  replayHere,
  replayInGuest,
} from './campaign.ts';
import { keyOf, type Verdict } from './plan.ts';

/** A few dozen cuts of the power, chosen by a seed; `npm run test:power` makes a thousand and more. */
const seed = Number(process.env.FLYD_TEST_SEED ?? Math.floor(Math.random() * 2 ** 32));
const counts = { overlay: 24, erofs: 12, devmapper: 8, canary: 16 };
const minutesMax = { record: 14, replay: 10 };

const devmapper: Recording = { name: 'devmapper', driver: 'devmapper' };
const overlay = { name: 'overlay', driver: 'overlay' } as const;
const erofs = { name: 'erofs', driver: 'erofs' } as const;
const preload = fileURLToPath(new URL('canary.ts', import.meta.url));
const canary: Recording = { name: 'canary', driver: 'overlay', preload, steps: 2 };

const skip =
  whyNot(['root', 'overlay', 'setfattr', 'getfattr', 'zstd', 'losetup', 'ip', 'e2fsck', 'thin_check']) ??
  whyNoGuest() ??
  false;

describe('the power goes', { skip }, () => {
  let campaign: Campaign;
  let whole = true;
  before(async () => {
    campaign = newCampaign();
    await record(campaign, [devmapper, overlay, erofs, canary], minutesMax.record);
  });
  after(() => {
    if (whole) removeCampaign(campaign);
  });

  /** Keeps the recording when a cut did not come back whole: no other would be quite the same. */
  const assertWhole = ({ name }: Recording, verdicts: readonly Verdict[], count: number): void => {
    const bad = verdicts.filter(({ problems }) => problems.length > 0);
    whole &&= bad.length === 0;
    const lines = bad.map(
      (verdict) =>
        `npm run test:power -- --campaign ${campaign.folder} --recording ${name} --only ${keyOf(verdict)}\n  ${verdict.problems.join('\n  ')}`,
    );
    assert.equal(lines.join('\n'), '');
    assert.equal(verdicts.length, count);
  };

  for (const recording of [overlay, erofs])
    test(`${recording.name}: what was reported is there, the rest ends, nothing leaks`, async (t) => {
      t.diagnostic(`FLYD_TEST_SEED=${seed}`);
      const count = counts[recording.driver];
      assertWhole(recording, await replayHere(campaign, recording, { count, seed }), count);
    });

  test('devmapper: the same, and the pool is sound', async (t) => {
    t.diagnostic(`FLYD_TEST_SEED=${seed}`);
    const options = { count: counts.devmapper, seed };
    const verdicts = await replayInGuest(campaign, devmapper, options, minutesMax.replay);
    assertWhole(devmapper, verdicts, counts.devmapper);
  });

  test('a build without fsync does not pass', async (t) => {
    const verdicts = await replayHere(campaign, canary, { count: counts.canary, seed });
    const bad = verdicts.filter(({ problems }) => problems.length > 0);
    t.diagnostic(`${bad.length} of ${verdicts.length} cuts found it`);
    assert.ok(bad.length > 0, 'nobody noticed that nothing was synced');
  });
});
