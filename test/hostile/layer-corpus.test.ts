import { runCases } from '../support/layer-cases.ts';
import { corpus } from './corpus/index.ts';

for (const [group, cases] of Object.entries(corpus)) runCases(group, cases);
