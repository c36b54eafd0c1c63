/** Answers, and then breaks down or ends, when nobody waits for it any more. */
export function run(how: 'throws' | 'ends' | 'stays'): string {
  setImmediate(() => {
    if (how === 'throws') throw new Error('after the answer');
    if (how === 'ends') process.exit(3);
  });
  return `it ${how}`;
}
