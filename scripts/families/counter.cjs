// Runs inside an activation: counts its own runs in a file of its snapshot.
const fs = require('node:fs');

const path = `${__dirname}/data/count`;
const count = (fs.existsSync(path) ? Number(fs.readFileSync(path, 'utf8')) : 0) + 1;
fs.writeFileSync(path, `${count}\n`);
console.log(`'counter' has run ${count} time${count === 1 ? '' : 's'} in this snapshot`);
