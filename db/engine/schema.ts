import { sqlite } from '../drizzle.ts';

const { sqliteTable, text, integer, real } = sqlite;

// The same tables as migrations.ts, for typed queries; a test compares the two.

export const definitions = sqliteTable('definitions', {
  hash: text('hash').primaryKey(),
  machine: text('machine').notNull(),
  version: integer('version').notNull(),
  config: text('config').notNull(),
  createdAt: integer('created_at').notNull(),
});

export const queues = sqliteTable('queues', {
  name: text('name').primaryKey(),
  places: integer('places').notNull(),
  /** Whom a free place goes to: the highest priority, or the oldest. */
  ordering: text('ordering', { enum: ['priority', 'fifo'] }).notNull(),
  /** Of the runs that wait for a place, only so many of the newest stay. */
  keepNewest: integer('keep_newest'),
});

export const runs = sqliteTable('runs', {
  id: integer('id').primaryKey(),
  uid: text('uid').notNull(),
  machine: text('machine').notNull(),
  version: integer('version').notNull(),
  definition: text('definition').notNull(),
  /** One live run for each (machine, key). */
  key: text('key'),
  input: text('input').notNull(),
  status: text('status', {
    enum: ['running', 'waiting', 'pending', 'parked', 'done', 'failed', 'cancelled'],
  }).notNull(),
  state: text('state').notNull(),
  /** The persisted XState snapshot; null only before the first transition. */
  snapshot: text('snapshot'),
  output: text('output'),
  /** Why it failed. */
  error: text('error'),
  /** Why the run as a whole cannot move. */
  parked: text('parked'),
  /** Failed attempts of the effects in flight. */
  attempts: integer('attempts').notNull(),
  /** Commits so far. */
  seq: integer('seq').notNull(),
  /** The newest row of `transitions`. */
  last: integer('last'),
  /** Counts every child, effect and timer that the run ever started: fences stale results. */
  epoch: integer('epoch').notNull(),
  /** The token of the process that may move it. */
  owner: text('owner'),
  /** Somebody started it by itself: losing every parent does not cancel it. */
  standalone: integer('standalone', { mode: 'boolean' }).notNull(),
  cancel: text('cancel'),
  cancelDelivered: integer('cancel_delivered', { mode: 'boolean' }).notNull(),
  queue: text('queue'),
  admitted: integer('admitted', { mode: 'boolean' }).notNull(),
  createdAt: integer('created_at').notNull(),
  updatedAt: integer('updated_at').notNull(),
  endedAt: integer('ended_at'),
  /** The tags of the active states, as a JSON array. */
  tags: text('tags').notNull(),
  /** By tag: the last commit whose states had it. */
  tagsLast: text('tags_last').notNull(),
  /** Higher first, among those that wait for a place of one queue. */
  priority: integer('priority').notNull(),
  /** It begins no earlier. */
  startAt: integer('start_at'),
  /** It begins when that run has ended; null again as soon as it has. */
  afterRun: integer('after_run'),
  afterWhen: text('after_when', { enum: ['done', 'ended', 'failed'] }),
  afterOtherwise: text('after_otherwise', { enum: ['cancel', 'park'] }),
  /** It has the key of that run, which is being cancelled for it; null again as soon as that one has ended. */
  replaces: integer('replaces'),
  /** Some run has waited for the end of this one. */
  awaited: integer('awaited', { mode: 'boolean' }).notNull(),
  /** Its end was asked for, without compensation. */
  killed: text('killed'),
  /** The run that it handed its work to. */
  continuedAs: integer('continued_as'),
  /** The name of the schedule that started it. */
  schedule: text('schedule'),
  /** The oldest commit that compaction has left. */
  historyFrom: integer('history_from').notNull(),
  labels: text('labels'),
  /** Of a fork that has not begun: what it begins from. */
  origin: text('origin'),
  /** Of a fork: the run and its commit, as JSON. */
  forkedFrom: text('forked_from'),
  /** W3C Trace Context, as JSON: `{ traceparent, tracestate? }`. */
  trace: text('trace'),
});

export const schedules = sqliteTable('schedules', {
  name: text('name').primaryKey(),
  machine: text('machine').notNull(),
  input: text('input').notNull(),
  cron: text('cron').notNull(),
  timeZone: text('time_zone').notNull(),
  /** Which of the instants are made up for that passed while nobody was there. */
  catchUp: text('catch_up', { enum: ['none', 'last', 'all'] }).notNull(),
  catchUpMax: integer('catch_up_max').notNull(),
  /** What happens at an instant while its last run is live. */
  overlap: text('overlap', { enum: ['skip', 'queue', 'allow'] }).notNull(),
  paused: integer('paused', { mode: 'boolean' }).notNull(),
  nextAt: integer('next_at'),
  lastAt: integer('last_at'),
  createdAt: integer('created_at').notNull(),
  updatedAt: integer('updated_at').notNull(),
});

/** The history, append-only. No index by run: a run's rows are walked by `prev` from `runs.last`. */
export const transitions = sqliteTable('transitions', {
  id: integer('id').primaryKey(),
  run: integer('run').notNull(),
  seq: integer('seq').notNull(),
  prev: integer('prev'),
  at: integer('at').notNull(),
  event: text('event').notNull(),
  fromState: text('from_state'),
  toState: text('to_state').notNull(),
  effects: text('effects').notNull(),
  ms: real('ms'),
  error: text('error'),
  definition: text('definition').notNull(),
  /** RFC 6902, from the snapshot of the row before. */
  patch: text('patch'),
  /** Every 50th row holds the snapshot itself. */
  snapshot: text('snapshot'),
  /** The deadlines after it, as a JSON array. */
  timers: text('timers'),
});

export const effects = sqliteTable('effects', {
  run: integer('run').notNull(),
  child: text('child').notNull(),
  epoch: integer('epoch').notNull(),
  src: text('src').notNull(),
  input: text('input').notNull(),
  state: text('state', { enum: ['due', 'pending', 'parked'] }).notNull(),
  attempt: integer('attempt').notNull(),
  /** How often it found that the world still lacks something. */
  looks: integer('looks').notNull(),
  dueAt: integer('due_at').notNull(),
  error: text('error'),
  /** What its attempts gave to `heartbeat` last. */
  saved: text('saved'),
});

export const timers = sqliteTable('timers', {
  run: integer('run').notNull(),
  timer: text('timer').notNull(),
  epoch: integer('epoch').notNull(),
  event: text('event').notNull(),
  dueAt: integer('due_at').notNull(),
});

/** Events to runs (until applied; with a dedupe key for good) and events that runs emitted. */
export const events = sqliteTable('events', {
  id: integer('id').primaryKey(),
  run: integer('run').notNull(),
  direction: text('direction', { enum: ['in', 'out'] }).notNull(),
  event: text('event').notNull(),
  /** The child whose result this is, with the epoch that it must still have. */
  child: text('child'),
  epoch: integer('epoch'),
  dedupe: text('dedupe'),
  at: integer('at').notNull(),
  applied: integer('applied'),
});

export const runLinks = sqliteTable('run_links', {
  parent: integer('parent').notNull(),
  childId: text('child_id').notNull(),
  epoch: integer('epoch').notNull(),
  child: integer('child').notNull(),
  joined: integer('joined', { mode: 'boolean' }).notNull(),
  settled: integer('settled', { mode: 'boolean' }).notNull(),
  /** What the end of the parent means for the child. */
  onClose: text('on_close', { enum: ['cancel', 'abandon'] }).notNull(),
});

/** Values that are stored nowhere else, by the reference that stands for them; gone when their run has ended. */
export const secrets = sqliteTable('secrets', {
  run: integer('run').notNull(),
  ref: text('ref').notNull(),
  /** As JSON. */
  value: text('value').notNull(),
});
