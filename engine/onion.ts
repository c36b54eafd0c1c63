/** What is called around some work: it must call `next`, and may look at what that throws. Results are not shown: they may be secret. */
export type Layer<Scope> = (scope: Scope, next: () => Promise<void>) => unknown;

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
    const next = async (): Promise<void> => {
      if (begun === undefined) {
        begun = deeper();
        begun.then(resolve, (thrown: unknown) => {
          failure = { thrown };
          reject(thrown);
        });
      }
      await begun;
    };
    // One that does not ask for the work is done without.
    const around = async (): Promise<unknown> => layer(scope, next);
    const finish = (): void => void next().catch(() => {});
    around().then(finish, (thrown: unknown) => {
      if (failure?.thrown !== thrown || failure === undefined) fault(thrown);
      finish();
    });
  });
}
