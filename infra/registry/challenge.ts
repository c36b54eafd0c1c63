/** One way to authenticate that a server offers: `Bearer realm="…",service="…"`. */
export interface Challenge {
  /** In lower case. */
  scheme: string;
  /** Names in lower case. */
  params: Readonly<Record<string, string>>;
}

const challengesMax = 16;
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const scheme = new RegExp(`^[\\s,]*(${token})(?=\\s|,|$)(?!\\s*=)\\s*`);
const param = new RegExp(`^[\\s,]*(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))`);

/** The challenges of a WWW-Authenticate header (RFC 9110 11.6.1), several headers joined by commas. What cannot be read ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; params: Record<string, string> }[] = [];
  let rest = header;
  while (rest !== '' && challenges.length < challengesMax) {
    const named = param.exec(rest);
    const last = challenges.at(-1);
    if (named !== null && last !== undefined) {
      const [whole, name = '', quoted, bare = ''] = named;
      last.params[name.toLowerCase()] = quoted === undefined ? bare : quoted.replace(/\\(.)/g, '$1');
      rest = rest.slice(whole.length);
      continue;
    }
    const begun = scheme.exec(rest);
    if (begun === null) break;
    challenges.push({ scheme: (begun[1] ?? '').toLowerCase(), params: {} });
    rest = rest.slice(begun[0].length);
  }
  return challenges;
}
