import { Cron } from 'croner';
import { unrecoverable } from '#core/errors';

/** When a schedule is due. Instants are milliseconds since the epoch, and whole seconds. */
export interface Instants {
  /** The first instant after this one; null when there is none any more. */
  next(after: number): number | null;
  /** The newest instants from `from` to `to`, both included, oldest first: `max` at most. */
  between(from: number, to: number, max: number): number[];
}

/**
 * The instants of a cron expression of five fields, or six with seconds first, in an IANA time zone.
 * Where the clock is put forward, a time of day that does not exist happens right after the gap; where it
 * is put back, one that exists twice happens the first time only. What happens several times an hour
 * (a `*` or a step in seconds, minutes or hours) goes by elapsed time instead.
 * Throws `usage` for an expression or a zone that is wrong, or that never comes.
 */
export function instantsOf(cron: string, timeZone: string): Instants {
  let pattern: Cron;
  try {
    pattern = new Cron(cron, { timezone: timeZone, mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard' });
    if (pattern.nextRun() === null) throw new RangeError('it never comes');
  } catch (cause) {
    throw unrecoverable('usage', `'${cron}' in '${timeZone}' is no schedule: ${(cause as Error).message}`, {
      subject: cron,
      hint: "give 'minute hour day month weekday', as '30 2 * * *', and a zone as 'Europe/Berlin'",
      cause,
    });
  }
  return {
    next: (after) => pattern.nextRun(new Date(after))?.getTime() ?? null,
    between: (from, to, max) =>
      pattern
        .previousRuns(max, new Date(to + 1))
        .map((instant) => instant.getTime())
        .filter((at) => at >= from)
        .reverse(),
  };
}
