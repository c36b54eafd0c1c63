import { type Finding, findAll, isProduct, isSimulation, lineAt, type Rule } from './source.ts';

const linesMax = 400;

/** Files stay short enough to be read in one go. */
export const withinBudget: Rule = ({ path, text }) => {
  const lines = text.split('\n').length - 1;
  return lines <= linesMax
    ? []
    : [{ path, line: lines, message: `${lines} lines, at most ${linesMax}: give its second idea a file` }];
};

/** Nothing is left for later, and no test keeps the others from running. */
export const nothingLeftOver: Rule = ({ path, text }) => {
  const marks = /\b(FIXME|TODO|XXX|HACK)\b|\b(?:test|it|describe|suite)\.only\b|\bonly:\s*true\b/g;
  return [...text.matchAll(marks)].map((match) => ({
    path,
    line: lineAt(text, match.index),
    message: `${match[0]}: finish it, or open an issue`,
  }));
};

/** The environment is configuration, and that has one file. */
export const environmentInConfig: Rule = (source) =>
  isProduct(source) && source.path !== 'infra/config.ts'
    ? findAll(
        source,
        /\bprocess\.env\b|\bimport\s*\{[^}]*\benv\b[^}]*\}\s*from\s*['"]node:process['"]/,
        'take it from infra/config.ts',
      )
    : [];

/** Commands run through infra/exec: C locale, a timeout, stderr kept. */
export const commandsThroughExec: Rule = (source) =>
  isProduct(source) && source.path !== 'infra/exec.ts'
    ? findAll(source, /['"]node:child_process['"]/, 'run commands through infra/exec.ts')
    : [];

const clock =
  /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bsetTimeout\(|\bsetInterval\(|\bsetImmediate\(/;
const chance = /\bMath\.random\b|\brandomUUID\b|\brandomBytes\b/;
const asynchrony = /\basync\b|\bawait\b|\bnew Promise\b|\.then\(/;

/** What rooms that must be replayable never call, with what to use instead. */
const bans: readonly { applies: (path: string) => boolean; pattern: RegExp; instead: string }[] = [
  {
    applies: (path) => path.startsWith('engine/') && path !== 'engine/system.ts',
    pattern: new RegExp(`${clock.source}|${chance.source}`),
    instead: 'time and chance come from engine/system.ts, passed in',
  },
  {
    applies: (path) => path.startsWith('machines/'),
    pattern: new RegExp(`${clock.source}|${chance.source}|\\bDate\\b|${asynchrony.source}`),
    instead: 'machines are pure: let an actor do it',
  },
  {
    applies: (path) => path.startsWith('core/'),
    pattern: new RegExp(`${clock.source}|${chance.source}`),
    instead: 'core is pure',
  },
];

/** Machines, engine and core take time and chance from outside. */
export const noBannedCalls: Rule = (source) =>
  bans
    .filter((ban) => ban.applies(source.path) && !isSimulation(source))
    .flatMap((ban) => findAll(source, ban.pattern, ban.instead));

const sql =
  /\b(?:INSERT (?:OR \w+ )?INTO|DELETE FROM|UPDATE \w+ SET|CREATE TABLE|SELECT\s[^'"`;]{1,200}?\sFROM)\b/;

/** All SQL is in db/. */
export const sqlInDb: Rule = (source) =>
  isProduct(source) && source.room !== 'db' && !isSimulation(source)
    ? findAll(source, sql, 'SQL belongs into db/')
    : [];

/** What people read about the product may name only paths that are there. */
export function pathsExist(path: string, markdown: string, exists: (path: string) => boolean): Finding[] {
  const named =
    /(?<![\w./~-])(?:core|machines|actors|engine|db|infra|services|cli|scripts|bench|web|test|docs|bin)\/[\w./-]*[\w/]/g;
  return [...markdown.matchAll(named)]
    .filter((match) => !'<*{'.includes(markdown[match.index + match[0].length] ?? ' ') && !exists(match[0]))
    .map((match) => ({ path, line: lineAt(markdown, match.index), message: `${match[0]} is not there` }));
}

/** A page has one title. */
export function oneTitle(path: string, markdown: string): Finding[] {
  const prose = markdown.replace(/^```[\s\S]*?^```/gm, '');
  const titles = [...prose.matchAll(/^# /gm)].length;
  return titles === 1 ? [] : [{ path, line: 1, message: `${titles} titles, should be one` }];
}
