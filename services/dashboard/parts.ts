import type { DashboardStore } from '#db/dashboard/index';
import type { ImageStore } from '#db/images/index';
import type { Engine } from '#engine/api';
import type { EngineWatch } from '#engine/watch';
import type { ProgressEntry } from '#infra/progress-board';
import type { Space } from '#infra/volumes/driver';

/** What the dashboard is made of; everything is passed in, so that it runs over any database of the engine. */
export interface DashboardParts {
  /** An engine that only looks. */
  engine: Engine;
  watch: EngineWatch;
  store: DashboardStore;
  images: ImageStore;
  /** How far effects are, of every living owner. */
  progress(): ProgressEntry[];
  /** Whether the process of this token lives. */
  isAlive(token: string): boolean;
  /** What could run out. */
  space(): Promise<Space[]>;
  /** An engine that can move runs; opened when the first button is pressed. */
  act(): Promise<Engine>;
  page: Page;
  /** Who may look and press: 256 bits as text. */
  token: string;
  /** The user of the system that this server runs as, for the audit log. */
  actor: string;
  about: { version: string; stateDir: string; hostname: string };
  now(): number;
  log: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
}

/** The built page. */
export interface Page {
  html: string;
  js: string;
  css: string;
}
