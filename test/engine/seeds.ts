/** Seeds under which the engine once failed: they are run for good. */
export const seeds: readonly { workload: string; seed: number; found: string }[] = [];
