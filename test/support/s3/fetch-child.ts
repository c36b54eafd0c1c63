import { defaultLimits } from '#core/limits';
import { createBlobStore, type FetchRequest } from '#infra/blob-store';
import { createS3Source } from '#infra/s3';

/** The process that tests kill: fetches one layer and prints what it became, as JSON. */
export interface FetchJob {
  dir: string;
  checkpointBytes: number;
  request: Pick<FetchRequest, 'source' | 'layer' | 'partialId'>;
}

const { dir, checkpointBytes, request } = JSON.parse(process.argv[2] ?? '') as FetchJob;
const objects = createS3Source();
const blob = await createBlobStore(dir, { checkpointBytes }).fetch({
  ...request,
  objects,
  limits: defaultLimits,
  signal: new AbortController().signal,
});
objects.close();
process.stdout.write(JSON.stringify(blob));
