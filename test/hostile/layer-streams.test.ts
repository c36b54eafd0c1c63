import { runStreams } from '../support/stream-cases.ts';
import { streams } from './corpus/streams.ts';

runStreams(streams);
