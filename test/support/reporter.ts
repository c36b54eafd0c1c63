import type { EventData } from 'node:test';

/**
 * A reporter for `node --test --test-reporter=…`: one JSON object a line, for scripts/test.ts to read.
 * The runner's own formats are for people, or (TAP) lose which file a result belongs to.
 */
export type TestEvent =
  | {
      type: 'result';
      file: string;
      /** The titles from the outermost test to this one. */
      path: string[];
      ok: boolean;
      /** Why it did not run; null when it ran. */
      skip: string | null;
      ms: number;
      error: string | null;
    }
  | { type: 'note'; file: string; text: string }
  | { type: 'output'; file: string; text: string }
  /** The runner came to its own end: without it, the runner died. */
  | { type: 'end' };

interface RunnerEvent {
  type: string;
  data: unknown;
}

type Ended = EventData.TestPass | EventData.TestFail;

/** Turns the runner's events into lines. */
export default async function* report(source: AsyncIterable<RunnerEvent>): AsyncGenerator<string> {
  const titles: string[] = [];
  for await (const { type, data } of source) {
    const event = translate(type, data, titles);
    if (event !== null) yield `${JSON.stringify(event)}\n`;
  }
  yield `${JSON.stringify({ type: 'end' } satisfies TestEvent)}\n`;
}

function translate(type: string, data: unknown, titles: string[]): TestEvent | null {
  switch (type) {
    case 'test:start': {
      const { name, nesting } = data as EventData.TestStart;
      titles.splice(nesting, titles.length, name);
      return null;
    }
    case 'test:pass':
    case 'test:fail':
      return resultOf(data as Ended, type === 'test:pass', titles);
    case 'test:diagnostic': {
      const { file, message } = data as EventData.TestDiagnostic;
      return file === undefined ? null : { type: 'note', file, text: message };
    }
    case 'test:stdout':
    case 'test:stderr': {
      const { file, message } = data as EventData.TestStderr;
      return { type: 'output', file, text: message };
    }
    default:
      return null;
  }
}

function resultOf(data: Ended, ok: boolean, titles: string[]): TestEvent | null {
  if (data.details.type === 'suite' && ok) return null;
  const notRun = data.skip ?? data.todo;
  return {
    type: 'result',
    file: data.file ?? '',
    path: [...titles.slice(0, data.nesting), data.name],
    ok: ok || data.todo !== undefined,
    skip:
      notRun === undefined || notRun === false
        ? null
        : typeof notRun === 'string'
          ? notRun
          : 'no reason given',
    ms: data.details.duration_ms,
    error: ok ? null : describe((data as EventData.TestFail).details.error),
  };
}

/** What went wrong, as text: the test's own error, not the runner's wrapper around it. */
function describe(error: Error): string {
  const cause = error.cause ?? error;
  if (!(cause instanceof Error)) return typeof cause === 'string' ? cause : JSON.stringify(cause);
  const code = (cause as { code?: unknown }).code;
  const head = typeof code === 'string' ? `[${code}] ` : '';
  return `${head}${cause.stack ?? cause.message}`;
}
