/** The embedded S3-compatible server: for trying flyd out, for its demo and its tests. */
export { type S3LogEntry, type S3Server, type S3ServerOptions, startS3Server } from './s3-server/server.ts';
