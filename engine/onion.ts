/** What is called around some work: it must call `next`, and may look at what that gives or throws. */
export type Layer<Scope> = (scope: Scope, next: () => Promise<unknown>) => unknown;

/**
 * Does the work inside the layers, the first outermost. What comes of it is what comes of the work: a layer
 * can neither change that nor keep it from being done. What a layer throws of its own goes to `fault`.
 */
export function inLayers<Scope, T>(
  layers: readonly Layer<Scope>[],
  scope: Scope,
  work: () => Promise<T>,
  fault: (thrown: unknown) => void,
): Promise<T> {
  let next = work;
  for (const layer of layers.toReversed()) {
    const deeper = next;
    next = () => through(layer, scope, deeper, fault);
  }
  return next();
}

function through<Scope, T>(
  layer: Layer<Scope>,
  scope: Scope,
  deeper: () => Promise<T>,
  fault: (thrown: unknown) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let begun: Promise<T> | undefined;
    let failure: { thrown: unknown } | undefined;
    const next = (): Promise<T> => {
      if (begun !== undefined) return begun;
      begun = deeper();
      begun.then(resolve, (thrown: unknown) => {
        failure = { thrown };
        reject(thrown);
      });
      return begun;
    };
    // One that does not ask for the work is done without.
    const around = async (): Promise<unknown> => layer(scope, next);
    around().then(next, (thrown: unknown) => {
      if (failure?.thrown !== thrown || failure === undefined) fault(thrown);
      next().catch(() => {});
    });
  });
}
