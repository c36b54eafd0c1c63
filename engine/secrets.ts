import type { SecretRow } from '#db/engine/index';
import type { Json } from './types.ts';

/** What stands for a secret in all that is stored: `{ "$secret": ref }`. */
const mark = '$secret';
const shown = '[secret]';
/** Shorter ones are known by the whole value only: they would be found in any text. */
const wordLengthMin = 4;

/** Whether the text, which is JSON, may hold references. */
export const hasReferences = (text: string | null): boolean => text?.includes(`"${mark}"`) ?? false;

/** For those who look: every reference as `[secret]`. */
export function redact(value: Json): Json {
  if (isReference(value)) return shown;
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, redact(inner)]));
}

/**
 * The secrets of one run: values found at the marked paths of its machine, wherever else they turn up. A text
 * that contains one is a secret itself. Their values go to a table of their own, and leave it when the run ends.
 */
export class RunSecrets {
  readonly #paths: readonly string[];
  readonly #newId: () => string;
  readonly #words = new Set<string>();
  readonly #values = new Map<string, Json>();
  readonly #refs = new Map<string, string>();
  #fresh: SecretRow[] = [];

  constructor(paths: readonly string[], stored: readonly SecretRow[], newId: () => string) {
    this.#paths = paths;
    this.#newId = newId;
    this.add(stored);
  }

  /** Takes what somebody else has stored for the run. */
  add(stored: readonly SecretRow[]): void {
    for (const { ref, value } of stored) {
      const plainValue = JSON.parse(value) as Json;
      this.#values.set(ref, plainValue);
      this.#refs.set(value, ref);
      this.#know(plainValue);
    }
  }

  /** Looks at what is at the marked paths: `root` is `input`, `context`, `output` or `event.<type>`. */
  learn(root: string, value: Json): void {
    for (const path of this.#paths)
      if (path === root) this.#know(value);
      else if (path.startsWith(`${root}.`)) this.#follow(path.slice(root.length + 1).split('.'), value);
  }

  /** Everything that is stored and read again: with references instead of secrets. */
  mask(value: Json): Json {
    if (typeof value === 'string' || typeof value === 'number')
      return this.appearsIn(value) ? this.#reference(value) : value;
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map((item) => this.mask(item));
    // A key cannot be a reference, and what looks like one is not: then the whole is kept apart.
    if (Object.keys(value).some((key) => key === mark || this.appearsIn(key))) return this.#reference(value);
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.mask(inner)]));
  }

  /** The value kept apart as a whole, whatever is in it. */
  maskWhole(value: Json): Json {
    return value === null ? null : this.#reference(value);
  }

  unmask(value: Json): Json {
    if (isReference(value)) return this.#values.get(value[mark]) ?? shown;
    if (Array.isArray(value)) return value.map((item) => this.unmask(item));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.unmask(inner)]));
  }

  /** What only people read: with `[secret]` instead of secrets, for good. */
  scrub<T>(value: T): T {
    return this.#scrub(value as Json) as T;
  }

  appearsIn(text: string | number): boolean {
    if (this.#words.has(String(text))) return true;
    if (typeof text === 'number') return false;
    for (const word of this.#words) if (word.length >= wordLengthMin && text.includes(word)) return true;
    return false;
  }

  /** References that were made since the last time, to be stored in the same commit. */
  takeFresh(): SecretRow[] {
    return this.#fresh.splice(0);
  }

  /** Secrets of another run with these paths, which knows what this one knows. */
  handOver(paths: readonly string[]): RunSecrets {
    const other = new RunSecrets(paths, [], this.#newId);
    for (const word of this.#words) other.#words.add(word);
    return other;
  }

  #follow([part, ...rest]: readonly string[], value: Json): void {
    if (part === undefined) this.#know(value);
    else if (typeof value === 'object' && value !== null) this.#followIn(part, rest, value);
  }

  #followIn(part: string, rest: readonly string[], value: object): void {
    for (const [key, inner] of Object.entries(value))
      if (part === '*' || part === key) this.#follow(rest, inner);
  }

  /** Every text and number in it is a secret. */
  #know(value: Json): void {
    if (typeof value === 'number' || (typeof value === 'string' && value !== ''))
      this.#words.add(String(value));
    else if (typeof value === 'object' && value !== null)
      for (const inner of Object.values(value)) this.#know(inner);
  }

  #reference(value: Json): Json {
    const text = JSON.stringify(value);
    const known = this.#refs.get(text);
    if (known !== undefined) return { [mark]: known };
    const ref = this.#newId();
    this.#refs.set(text, ref);
    this.#values.set(ref, value);
    this.#fresh.push({ ref, value: text });
    return { [mark]: ref };
  }

  #scrub(value: Json): Json {
    if (typeof value === 'number') return this.appearsIn(value) ? shown : value;
    if (typeof value === 'string') return this.#scrubText(value);
    if (Array.isArray(value)) return value.map((item) => this.#scrub(item));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [this.#scrubText(key), this.#scrub(inner)]),
    );
  }

  #scrubText(text: string): string {
    if (this.#words.has(text)) return shown;
    let clean = text;
    // The longest first: one may be part of another.
    for (const word of [...this.#words].sort((a, b) => b.length - a.length))
      if (word.length >= wordLengthMin) clean = clean.replaceAll(word, shown);
    return clean;
  }
}

function isReference(value: Json): value is { [mark]: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    typeof value[mark] === 'string' &&
    Object.keys(value).length === 1
  );
}
