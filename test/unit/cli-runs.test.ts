import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitingText } from '#cli/runs-look';

const createdAt = Date.parse('2026-01-01T00:00:00Z');

test('a run that has not begun says what it waits for, and since when', () => {
  const later = createdAt + 60_000;
  const text = (waitsFor: Parameters<typeof waitingText>[0]['waitsFor'], now = createdAt) =>
    waitingText({ waitsFor, createdAt }, now);
  assert.equal(text([]), '');
  assert.match(
    text([{ for: 'time', until: later }]),
    /^waits since 2026-01-01T00:00:00\S* until 2026-01-01T00:01:00/,
  );
  const queued = text(
    [
      { for: 'time', until: later },
      { for: 'queue', queue: 'blob' },
    ],
    later,
  );
  assert.match(queued, /^waits since \S+ for a place in queue blob$/, 'the time has come');
  assert.match(
    text([
      { for: 'run', run: 'r1', when: 'done' },
      { for: 'key', run: 'r2' },
    ]),
    / for run r1 to be done and for run r2, which it replaces, to end$/,
  );
});
