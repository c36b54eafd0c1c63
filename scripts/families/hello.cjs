// Runs inside an activation: says where it finds itself, and writes into its snapshot.
const fs = require('node:fs');
const os = require('node:os');

const list = (path) => fs.readdirSync(path).sort().join(' ');
const there = (path) => fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined;
const capabilities = () => {
  const status = fs.readFileSync('/proc/self/status', 'utf8');
  return `effective ${/^CapEff:\s*(\w+)/m.exec(status)?.[1]}, no_new_privs ${/^NoNewPrivs:\s*(\d)/m.exec(status)?.[1]}`;
};
const tried = (work) => {
  try {
    return work();
  } catch (error) {
    return error.code;
  }
};

const { family } = JSON.parse(fs.readFileSync(`${__dirname}/config.json`, 'utf8'));
const app = __dirname;
const root = app.slice(0, -'/app'.length);
fs.writeFileSync(`${app}/data/was-here`, `${process.version}\n`);

console.log(`Hello from '${family}': Node ${process.version}, uid ${process.getuid()}, pid ${process.pid}`);
console.log(`  root folder      ${list(`${root}/`)}`);
console.log(`  capabilities     ${tried(capabilities)}`);
console.log(`  whiteout         /etc/motd is ${there(`${root}/etc/motd`) ? 'there: WRONG' : 'gone'}`);
console.log(`  opaque folder    /var/cache/app has only: ${list(`${root}/var/cache/app`)}`);
console.log(`  hard link        main.cjs has ${fs.statSync(`${app}/main.cjs`).nlink} names`);
console.log(`  symlink          /app/current -> ${fs.readlinkSync(`${app}/current`)}`);
console.log(
  `  set-uid          /usr/bin/elevate has mode 0${(fs.statSync(`${root}/usr/bin/elevate`).mode & 0o7777).toString(8)}`,
);
console.log(`  wrote            /app/data/was-here, into this snapshot only`);
console.log(
  `  host             ${os.hostname()}, network: ${Object.keys(os.networkInterfaces()).join(' ') || 'none'}`,
);
