/**
 * Every stable error code, with one line on what it says. Scripts match on codes; tests assert on
 * codes and kinds, never on messages. Adding one is cheap; renaming one breaks somebody's script.
 */
export const errorCodes = {
  unclassified: 'an error that no adapter recognised',
  usage: 'the command line or the configuration is wrong',
  interrupted: 'the process was asked to stop; the run stays resumable',
  cancelled: 'the run was cancelled',
  superseded: 'the effect is no longer wanted by its run',
  ownership_lost: 'another process owns the run now',
  fault_injected: 'a fault drill asked for this failure',

  // the engine and the database
  run_not_found: 'no run has this id',
  run_not_active: 'the run has already ended',
  reset_refused: 'the run cannot be set back to this point of its history',
  tag_unreachable: 'the run has ended, and never had the tag that was waited for',
  run_in_use: 'the run is live, or a live run has it as its child',
  killed: 'the run was killed',
  run_conflict: 'another run has the id or the key',
  dependency_unmet: 'the run that this one was to follow ended otherwise',
  interceptor_failed: 'an interceptor threw; what it was called around goes on',
  machine_unknown: 'the stored run names a machine or version that this build does not have',
  machine_refused: 'the machine breaks a rule of the engine and cannot be registered',
  snapshot_refused: 'the stored snapshot does not fit the machine',
  snapshot_too_large: 'the snapshot is larger than the limit',
  effect_timeout: 'an attempt of an effect took longer than its timeout',
  heartbeat_missed: 'an attempt of an effect showed no sign of life for too long',
  transition_threw: 'the machine threw while computing a transition',
  not_serialisable: 'a value would not survive JSON',
  child_failed: 'a child run failed',
  database_newer: 'the database was written by a newer version',
  database_corrupt: 'the database is damaged',
  database_foreign: 'the file is a database, but not of flyd',
  database_busy: 'the database stayed locked for too long',
  database_failed: 'the database refused an operation',
  state_dir_refused: 'the state directory is not safe to use',
  state_dir_newer: 'the state directory was written by a newer version',
  state_dir_locked: 'another process is changing the layout of the state directory',

  // sources and blobs
  family_not_found: 'the source has no layers under this family name',
  source_missing: 'no source was given',
  source_invalid: 'the source is not an address that flyd understands',
  source_insecure: 'plain HTTP to another machine without --insecure',
  source_denied: 'the source refused access',
  source_unavailable: 'the source did not answer, or answered with a server error',
  source_protocol: 'the source answered with something that makes no sense',
  object_missing: 'an expected object is not there yet',
  object_changed: 'an object changed between listing and download',
  partial_busy: 'another process is fetching the same blob',
  digest_mismatch: 'the bytes do not have the digest that was expected',
  size_mismatch: 'the bytes do not have the size that was expected',
  manifest_invalid: 'manifest.json is not valid',
  lock_mismatch: 'the family differs from the lock file',
  lock_invalid: 'the lock file is not valid',
  bucket_missing: 'the bucket does not exist',

  // layers
  layer_corrupt: 'the layer is not a readable archive',
  layer_unsupported: 'the layer uses a format that flyd does not read',
  layer_hostile: 'the layer tries something that no honest layer does',
  layer_missing: 'a layer that should be in the blob store is not',
  limit_exceeded: 'a limit was reached',

  // volumes and activations
  driver_unavailable: 'the driver cannot work on this machine',
  driver_unsupported: 'the driver cannot do what was asked',
  driver_failed: 'a volume operation failed',
  volume_missing: 'a volume that the database knows is not there',
  volume_busy: 'a volume is in use',
  volume_damaged: 'a volume does not hold what was written to it',
  pool_missing: 'the thin pool is not there',
  pool_refused: "the devices of the pool are not blank and not flyd's",
  pool_broken: 'the thin pool is read-only, failed or needs a check',
  no_space: 'there is not enough space',
  image_not_found: 'no image has this id or name',
  image_in_use: 'the image has live activations',
  activation_not_found: 'no activation has this id or name',
  activation_busy: 'a process holds the activation',
  name_taken: 'another activation has this name',

  // the host
  command_failed: 'an external command failed',
  command_missing: 'an external command is not installed',
  command_timeout: 'an external command did not end in time',
  system_call: 'a system call failed',
  permission: 'this needs root or another permission',
} as const;

export type ErrorCode = keyof typeof errorCodes;
