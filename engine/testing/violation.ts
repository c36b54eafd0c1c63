/** A law of the engine was broken. `rule` names it. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly rule: string;

  constructor(rule: string, message: string) {
    super(`${rule}: ${message}`);
    this.rule = rule;
  }
}

/** Throws the violation unless the rule holds. */
export function rule(holds: boolean, name: string, message: () => string): asserts holds {
  if (!holds) throw new Violation(name, message());
}
