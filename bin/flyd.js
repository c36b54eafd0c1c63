#!/usr/bin/env node
import { join } from 'node:path';
import { root, runPinned } from './pinned-node.js';

await runPinned(join(root, 'bin', 'start.js'), process.argv.slice(2));
