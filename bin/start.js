// Starts the command: the sources of a checkout, or the bundle that npm installs, because Node strips no
// types inside node_modules. V8 keeps what it has compiled beside the code, where nobody can write who could
// not change the code itself; where flyd may not write either, it starts a little slower.
import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

const at = (path) => new URL(`../${path}`, import.meta.url);
const isCheckout = existsSync(at('cli/main.ts'));
enableCompileCache(fileURLToPath(at(isCheckout ? 'node_modules/.cache/flyd-compiled' : 'dist/compiled')));
await import(at(isCheckout ? 'cli/main.ts' : 'dist/bundle/main.js').href);
