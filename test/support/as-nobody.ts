const nobody = 65_534;

/**
 * Runs `act` with the effective ids of a user who is nobody, as far as the kernel's checks go; root again
 * afterwards. Only for a process that is root.
 */
export function asNobody<T>(act: () => T): T {
  process.setegid?.(nobody);
  process.seteuid?.(nobody);
  try {
    return act();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}
