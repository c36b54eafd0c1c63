#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root, runPinned } from './pinned-node.js';

// A checkout has the sources, which win over an older build; an installed package has only the build,
// because Node strips no types inside node_modules.
const source = join(root, 'cli', 'main.ts');
await runPinned(existsSync(source) ? source : join(root, 'dist', 'bundle', 'main.js'), process.argv.slice(2));
