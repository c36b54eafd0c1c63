import type { Definition } from './definition.ts';

/** What zod, valibot, arktype and others have in common (Standard Schema, version 1): enough to ask whether a value fits. */
export interface EventSchema {
  readonly '~standard': {
    readonly validate: (value: unknown) => Verdict | Promise<Verdict>;
  };
}

interface Verdict {
  readonly issues?: readonly Issue[] | undefined;
}

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What is wrong with an event from outside, as sentences; nothing when the machine has no schema for it. */
export async function eventProblems(
  definition: Definition | undefined,
  event: { type: string },
): Promise<string[]> {
  const schema = definition?.events[event.type];
  if (schema === undefined) return [];
  const { issues = [] } = await schema['~standard'].validate(event);
  return issues.map(({ message, path = [] }) => {
    const place = path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
    return place === '' ? message : `${place}: ${message}`;
  });
}
