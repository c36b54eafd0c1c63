#!/usr/bin/env node
// Runs a script of a checkout on the pinned Node: node bin/run.js scripts/demo.ts [argument...]
import { resolve } from 'node:path';
import { runPinned } from './pinned-node.js';

const [script, ...args] = process.argv.slice(2);
if (script === undefined) {
  process.stderr.write('usage: node bin/run.js <script.ts> [argument...]\n');
  process.exitCode = 2;
} else await runPinned(resolve(script), args);
