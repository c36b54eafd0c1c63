/** How many runs of a queue move at once, and which. */
export interface QueueOptions {
  places: number;
  /** Whom a free place goes to: the highest priority, the oldest among equals (default), or simply the oldest. */
  order?: 'priority' | 'fifo';
  /** Of the runs that wait for a place, only so many of the newest stay; older ones end `cancelled`, `superseded`. */
  keepNewest?: number;
}

export type Queues = Readonly<Record<string, number | QueueOptions>>;
