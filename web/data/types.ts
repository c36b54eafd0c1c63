// What the server sends, by the server's own types.

export type { AuditEntry, SpaceSample } from '#db/dashboard/index';
export type { Json } from '#engine/types';
export type { Commit, EffectView, TimerView } from '#engine/watch';
export type { ProgressEntry } from '#infra/progress-board';
export type { Chart, ChartEdge, ChartNode } from '#services/dashboard/chart';
export type { ExportDocument } from '#services/dashboard/export';
export type { Layout } from '#services/dashboard/layout';
export type {
  DefinitionDocument,
  HistoryDocument,
  MomentDocument,
  RunDocument,
} from '#services/dashboard/run-documents';
export type { SpaceDocument, StoreDocument } from '#services/dashboard/store-document';
export type { RunSummary } from '#services/dashboard/summary';
