import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { toErrorRecord } from '#core/errors';
import * as sys from '#infra/sys';

const root = process.geteuid?.() === 0;
const needsRoot = root ? false : 'needs root: run the tests with sudo';
const dirFlags = sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC;

describe('system calls', () => {
  let dir = '';
  let fd = -1;
  before(() => {
    dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flyd-sys-'));
    fd = sys.openat(sys.AT_FDCWD, dir, dirFlags);
  });
  after(() => {
    sys.close(fd);
    fs.rmSync(dir, { recursive: true, force: true });
  });

  it('openat2 resolves inside the root, whatever links and dots say', () => {
    fs.mkdirSync(path.join(dir, 'usr/lib'), { recursive: true });
    fs.symlinkSync('/usr/lib', path.join(dir, 'lib'));
    fs.symlinkSync('../../../../etc', path.join(dir, 'escape'));
    const resolve = sys.RESOLVE_IN_ROOT | sys.RESOLVE_NO_MAGICLINKS;
    const flags = sys.O_PATH | sys.O_DIRECTORY | sys.O_CLOEXEC;
    const inside = sys.openat2(fd, 'lib', { flags, resolve });
    assert.equal(sys.fstat(inside).ino, fs.statSync(path.join(dir, 'usr/lib'), { bigint: true }).ino);
    sys.close(inside);
    assert.throws(() => sys.openat2(fd, 'escape', { flags, resolve }), {
      errno: 'ENOENT',
      syscall: 'openat2',
    });
    assert.equal(sys.tryOpenat2(fd, 'escape', { flags, resolve }), -2);
    const up = sys.openat2(fd, '../..', { flags, resolve });
    assert.equal(sys.fstat(up).ino, sys.fstat(fd).ino);
    sys.close(up);
  });

  it('errors carry what toErrorRecord needs', () => {
    let caught: unknown;
    try {
      sys.openat(fd, Buffer.from('not\xff there', 'latin1'), sys.O_RDONLY);
    } catch (error) {
      caught = error;
    }
    assert.ok(sys.isErrno(caught, 'ENOENT'));
    const record = toErrorRecord(caught);
    assert.equal(record.code, 'system_call');
    assert.equal(record.kind, 'unrecoverable');
    assert.equal(record.subject, 'not\\xff there');
    assert.deepEqual(record.facts, { errno: 'ENOENT', syscall: 'openat' });
  });

  it('a NUL in a name is refused, not cut', () => {
    assert.throws(() => sys.mkdirat(fd, 'a\0b', 0o755), { errno: 'EINVAL' });
    assert.throws(() => sys.mkdirat(fd, Buffer.from('a\0b'), 0o755), { errno: 'EINVAL' });
    assert.equal(fs.existsSync(path.join(dir, 'a')), false);
  });

  it('mkdirat, symlinkat, readlinkat, linkat, renameat and unlinkat keep names as bytes', () => {
    const name = Buffer.from([0x6e, 0xff, 0x0a, 0x27]);
    sys.mkdirat(fd, name, 0o700);
    assert.deepEqual(fs.readdirSync(dir, { encoding: 'buffer' }).filter((n) => n.equals(name)).length, 1);
    const sub = sys.openat(fd, name, dirFlags);
    const target = Buffer.from([0x2f, 0xfe, 0xfd]);
    sys.symlinkat(target, sub, 'link');
    assert.deepEqual(sys.readlinkat(sub, 'link'), target);
    sys.linkat(sub, 'link', sub, 'link2');
    assert.equal(sys.fstatat(sub, 'link2', sys.AT_SYMLINK_NOFOLLOW).nlink, 2);
    sys.renameat(sub, 'link2', fd, 'moved');
    assert.throws(() => sys.renameat(fd, 'moved', sub, 'link', sys.RENAME_NOREPLACE), { errno: 'EEXIST' });
    sys.unlinkat(fd, 'moved');
    sys.unlinkat(sub, 'link');
    sys.close(sub);
    sys.unlinkat(fd, name, sys.AT_REMOVEDIR);
    assert.equal(sys.tryUnlinkat(fd, name), -2);
  });

  it('a path longer than the scratch buffer fails by the kernel, not by us', () => {
    assert.throws(() => sys.mkdirat(fd, 'x'.repeat(20_000), 0o755), { errno: 'ENAMETOOLONG' });
  });

  it('stat, chown, chmod and times are exact', { skip: needsRoot }, () => {
    fs.writeFileSync(path.join(dir, 'file'), 'hello');
    const file = sys.openat(fd, 'file', sys.O_RDWR | sys.O_CLOEXEC);
    sys.fchownat(file, '', 70_000, 80_000, sys.AT_EMPTY_PATH);
    sys.fchmod(file, 0o6751);
    sys.utimensat(file, null, 1, 2, -6, 500_000_001);
    let stat = sys.fstat(file);
    assert.equal(stat.mode, sys.S_IFREG | 0o6751);
    assert.deepEqual([stat.uid, stat.gid, stat.size, stat.nlink], [70_000, 80_000, 5, 1]);
    assert.deepEqual([stat.mtimeSec, stat.mtimeNsec], [-6n, 500_000_001]);
    sys.utimensat(fd, 'file', 0, sys.UTIME_OMIT, 4_300_000_000n, 123_456_789, sys.AT_SYMLINK_NOFOLLOW);
    stat = sys.fstatat(fd, 'file');
    assert.deepEqual([stat.atimeSec, stat.atimeNsec], [1n, 2]);
    assert.deepEqual([stat.mtimeSec, stat.mtimeNsec], [4_300_000_000n, 123_456_789]);
    sys.close(file);
    fs.symlinkSync('file', path.join(dir, 'ln'));
    sys.fchownat(fd, 'ln', 5, 6, sys.AT_SYMLINK_NOFOLLOW);
    assert.equal(sys.fstatat(fd, 'ln', sys.AT_SYMLINK_NOFOLLOW).uid, 5);
    assert.equal(sys.fstatat(fd, 'ln').uid, 70_000);
    assert.equal(sys.tryFstatat(fd, 'none'), null);
  });

  it('mknodat makes devices and FIFOs with the whole range of numbers', { skip: needsRoot }, () => {
    sys.mknodat(fd, 'dev', sys.S_IFCHR | 0o600, 4095, 1_048_575);
    const dev = sys.fstatat(fd, 'dev');
    assert.deepEqual([dev.rdevMajor, dev.rdevMinor, dev.mode & sys.S_IFMT], [4095, 1_048_575, sys.S_IFCHR]);
    sys.mknodat(fd, 'fifo', sys.S_IFIFO | 0o644, 0, 0);
    assert.equal(sys.fstatat(fd, 'fifo').mode & sys.S_IFMT, sys.S_IFIFO);
    assert.throws(() => sys.mknodat(fd, 'x', sys.S_IFCHR, 4096, 0), RangeError);
  });

  it('xattrs hold any bytes and are set on links themselves', { skip: needsRoot }, () => {
    fs.symlinkSync('nowhere', path.join(dir, 'xl'));
    const value = Buffer.from([0, 10, 61, 255]);
    sys.lsetxattr(path.join(dir, 'xl'), 'trusted.flyd', value);
    assert.deepEqual(sys.lgetxattr(path.join(dir, 'xl'), 'trusted.flyd'), value);
    assert.deepEqual(sys.llistxattr(path.join(dir, 'xl')).map(String), ['trusted.flyd']);
    sys.lremovexattr(path.join(dir, 'xl'), 'trusted.flyd');
    assert.equal(sys.lgetxattr(path.join(dir, 'xl'), 'trusted.flyd'), null);
    fs.writeFileSync(path.join(dir, 'xf'), '');
    const file = sys.openat(fd, 'xf', sys.O_RDONLY | sys.O_CLOEXEC);
    sys.fsetxattr(file, 'user.a', Buffer.alloc(0));
    assert.deepEqual(sys.fgetxattr(file, 'user.a'), Buffer.alloc(0));
    assert.deepEqual(sys.flistxattr(file).map(String), ['user.a']);
    sys.fremovexattr(file, 'user.a');
    assert.equal(sys.fgetxattr(file, 'user.a'), null);
    sys.close(file);
    assert.throws(() => sys.lsetxattr(path.join(dir, 'xl'), 'user.a', value), { code: 'permission' });
  });

  it('readdirAt lists names as bytes, again and from an O_PATH fd', () => {
    const sub = path.join(dir, 'many');
    fs.mkdirSync(sub);
    const wanted = new Set<string>();
    for (let i = 0; i < 3000; i++) {
      const name = `entry-with-a-rather-long-name-${i}`;
      wanted.add(name);
      fs.writeFileSync(path.join(sub, name), '');
    }
    const p = sys.openat2(fd, 'many', { flags: sys.O_PATH | sys.O_DIRECTORY | sys.O_CLOEXEC });
    for (let round = 0; round < 2; round++)
      assert.deepEqual(new Set(sys.readdirAt(p).map((e) => e.name.toString())), wanted);
    sys.close(p);
  });

  it('file data: ftruncate, fallocate, copy_file_range, syncfs', () => {
    const file = sys.openat(fd, 'data', sys.O_RDWR | sys.O_CREAT | sys.O_CLOEXEC, 0o600);
    const copy = sys.openat(fd, 'copy', sys.O_RDWR | sys.O_CREAT | sys.O_CLOEXEC, 0o600);
    sys.ftruncate(file, 5_000_000_000);
    assert.equal(sys.fstat(file).size, 5_000_000_000);
    sys.ftruncate(file, 0);
    sys.fallocate(file, 0, 0, 65_536);
    assert.ok(sys.fstat(file).blocks >= 128);
    fs.writeSync(file, 'abcdef', 0);
    assert.equal(sys.copyFileRange(file, 2, copy, 1, 3), 3);
    assert.equal(fs.readFileSync(path.join(dir, 'copy'), 'latin1'), '\0cde');
    sys.beginWriteback(file, 0, 4096);
    sys.beginWriteback(-1, 0, 4096); // a hint: what does not work is no fault
    sys.syncfs(file);
    assert.throws(() => sys.syncfs(-1), { errno: 'EBADF' });
    try {
      sys.reflink(file, copy); // only some file systems can
    } catch (error) {
      assert.ok(sys.isErrno(error, 'EOPNOTSUPP', 'EINVAL', 'ENOTTY'), String(error));
    }
    sys.close(file);
    sys.close(copy);
    assert.throws(() => sys.close(copy), { errno: 'EBADF' });
  });

  it('flock shares, excludes and tells who lost', () => {
    const lock = path.join(dir, 'lock');
    fs.writeFileSync(lock, '');
    const [a, b] = [0, 1].map(() => sys.openat(sys.AT_FDCWD, lock, sys.O_RDONLY | sys.O_CLOEXEC));
    assert.ok(a !== undefined && b !== undefined);
    assert.equal(sys.flock(a, 'shared', true), true);
    assert.equal(sys.flock(b, 'shared', true), true);
    assert.equal(sys.flock(b, 'exclusive', true), false);
    sys.unlock(a);
    assert.equal(sys.flock(b, 'exclusive', false), true);
    assert.equal(sys.flock(a, 'shared', true), false);
    sys.close(b);
    assert.equal(sys.flock(a, 'shared', true), true);
    sys.close(a);
  });

  it('a pidfd signals its process and nobody later', async () => {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const pidfd = sys.pidfdOpen(child.pid ?? -1);
    sys.pidfdSendSignal(pidfd, 'SIGKILL');
    const [, signal] = await once(child, 'exit');
    assert.equal(signal, 'SIGKILL');
    assert.throws(() => sys.pidfdSendSignal(pidfd, 'SIGKILL'), { errno: 'ESRCH' });
    sys.close(pidfd);
    assert.equal(sys.geteuid(), process.geteuid?.());
    assert.equal(sys.getppid(), process.ppid);
  });

  it('mount and umount2, and errors of both', { skip: needsRoot }, () => {
    const at = path.join(dir, 'mnt');
    fs.mkdirSync(at);
    sys.mount('none', at, 'tmpfs', sys.MS_NOSUID | sys.MS_NODEV, 'size=1m,mode=0711');
    try {
      assert.equal(fs.statSync(at).mode & 0o777, 0o711);
      const held = sys.openat(sys.AT_FDCWD, at, dirFlags);
      assert.throws(() => sys.umount2(at), { errno: 'EBUSY', kind: 'recoverable' });
      sys.close(held);
    } finally {
      sys.umount2(at);
    }
    assert.throws(() => sys.umount2(at), { errno: 'EINVAL' });
    assert.throws(() => sys.mount('none', at, 'nosuchfs', 0), { errno: 'ENODEV' });
    const file = path.join(dir, 'no-device');
    fs.writeFileSync(file, '');
    assert.throws(() => sys.mount(file, at, 'ext4', 0), { errno: 'ENOTBLK' });
  });

  it('the new mount interface mounts an overlay of many layers', { skip: needsRoot }, (t) => {
    const base = path.join(dir, 'ovl');
    fs.mkdirSync(base);
    sys.mount('none', base, 'tmpfs', 0, null);
    const merged = path.join(base, 'merged');
    let mounted = false;
    const context = sys.fsopen('overlay');
    try {
      for (const name of ['merged', 'upper', 'work']) fs.mkdirSync(path.join(base, name));
      for (let i = 0; i < 150; i++) {
        const layer = path.join(base, `${i}-${'long'.repeat(40)}`);
        fs.mkdirSync(layer);
        fs.writeFileSync(path.join(layer, `f${i}`), String(i));
        if (i === 0) {
          try {
            sys.fsconfigSet(context, 'lowerdir+', layer);
          } catch (error) {
            if (!sys.isErrno(error, 'EINVAL')) throw error;
            t.skip('needs lowerdir+: Linux 6.5 or newer');
            return;
          }
        } else sys.fsconfigSet(context, 'lowerdir+', layer);
      }
      sys.fsconfigSet(context, 'upperdir', path.join(base, 'upper'));
      sys.fsconfigSet(context, 'workdir', path.join(base, 'work'));
      sys.fsconfigCreate(context);
      const mountFd = sys.fsmount(context, sys.MOUNT_ATTR_NOSUID | sys.MOUNT_ATTR_NODEV);
      sys.moveMount(mountFd, merged);
      mounted = true;
      sys.close(mountFd);
      assert.equal(fs.readdirSync(merged).length, 150);
      fs.writeFileSync(path.join(merged, 'f7'), 'new');
      assert.equal(fs.readFileSync(path.join(base, 'upper/f7'), 'utf8'), 'new');
    } finally {
      sys.close(context);
      if (mounted) sys.umount2(merged);
      sys.umount2(base);
    }
  });

  it('a refused mount says why', { skip: needsRoot }, () => {
    const context = sys.fsopen('overlay');
    assert.throws(() => sys.fsconfigSet(context, 'nosuchoption', 'x'), { errno: 'EINVAL' });
    assert.match(sys.fsMessages(context).join(), /nosuchoption/);
    assert.deepEqual(sys.fsMessages(context), []);
    sys.close(context);
  });

  it('works in worker threads, several at once, without a warning', async () => {
    const source = `
      const { workerData, parentPort } = require('node:worker_threads');
      import(workerData.module).then((sys) => {
        const fd = sys.openat(sys.AT_FDCWD, workerData.dir, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC);
        for (let i = 0; i < 500; i++) {
          sys.mkdirat(fd, workerData.name + i, 0o755);
          if (sys.tryMkdirat(fd, workerData.name + i, 0o755) !== -17) throw new Error('errno mixed up');
        }
        sys.close(fd);
        parentPort.postMessage('done');
      });`;
    const sub = path.join(dir, 'workers');
    fs.mkdirSync(sub);
    const module = new URL('../../infra/sys.ts', import.meta.url).href;
    const errors: string[] = [];
    await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (name) => {
        const worker = new Worker(source, {
          eval: true,
          workerData: { module, dir: sub, name },
          trackUnmanagedFds: false,
          stderr: true,
        });
        worker.stderr.on('data', (chunk) => errors.push(String(chunk)));
        const failed = once(worker, 'error').then(([error]) => Promise.reject(error));
        await Promise.race([once(worker, 'exit'), failed]);
        failed.catch(() => {});
      }),
    );
    assert.equal(fs.readdirSync(sub).length, 2000);
    assert.deepEqual(errors, []);
  });
});
