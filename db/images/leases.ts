import type { Database } from 'better-sqlite3';
import { drizzle, orm } from '../drizzle.ts';
import { write } from '../open.ts';
import { leases } from './schema.ts';

const { and, eq } = orm;

/** The lease that a sweep holds while it removes things. */
export const sweepLease = 'gc';

export interface LeaseHold {
  /** The token of the holding process. */
  holder: string;
  /** The effect that the process holds it for. */
  effect: string;
}

export interface LeaseClaim extends LeaseHold {
  resource: string;
  /** Milliseconds since 1970. */
  now: number;
}

export interface Leases {
  /**
   * Takes the resource for one effect of one process: when it is free, ours already, or its holder is
   * dead by `isAlive` (a kernel lock, never time). False when somebody living holds it.
   */
  acquire(claim: LeaseClaim, isAlive: (holder: string) => boolean): boolean;
  /** Gives back what this effect holds; nothing when it holds nothing. */
  release(claim: Omit<LeaseClaim, 'now'>): void;
  holder(resource: string): LeaseHold | null;
}

/** Locks on resources (the store, a volume) that outlive a crash, until somebody finds their holder dead. */
export function createLeases(db: Database): Leases {
  const query = drizzle(db);

  const holder = (resource: string): LeaseHold | null =>
    query
      .select({ holder: leases.holder, effect: leases.effect })
      .from(leases)
      .where(eq(leases.resource, resource))
      .get() ?? null;

  /** Takes it over from `seen`, if that is still how it is. */
  const replace = (seen: LeaseHold | null, { now, ...claim }: LeaseClaim): boolean =>
    write(db, () => {
      const found = holder(claim.resource);
      if (found?.holder !== seen?.holder || found?.effect !== seen?.effect) return false;
      const row = { ...claim, acquiredAt: now };
      query.insert(leases).values(row).onConflictDoUpdate({ target: leases.resource, set: row }).run();
      return true;
    });

  return {
    holder,
    acquire(claim, isAlive) {
      // Whether a process lives is asked outside the transaction; that nothing changed meanwhile, inside.
      for (;;) {
        const seen = holder(claim.resource);
        const ours = seen?.holder === claim.holder && seen.effect === claim.effect;
        if (ours) return true;
        if (seen !== null && (seen.holder === claim.holder || isAlive(seen.holder))) return false;
        if (replace(seen, claim)) return true;
      }
    },
    release({ resource, holder, effect }) {
      write(db, () =>
        query
          .delete(leases)
          .where(and(eq(leases.resource, resource), eq(leases.holder, holder), eq(leases.effect, effect)))
          .run(),
      );
    },
  };
}
