import { type XmlElement, xmlDocument } from './xml.ts';

/** Codes and their statuses (Amazon S3 API reference, "List of error codes"). */
export const s3Codes = {
  AccessDenied: 403,
  AuthorizationHeaderMalformed: 400,
  BadDigest: 400,
  BucketAlreadyOwnedByYou: 409,
  BucketNotEmpty: 409,
  EntityTooLarge: 400,
  EntityTooSmall: 400,
  IncompleteBody: 400,
  InternalError: 500,
  InvalidAccessKeyId: 403,
  InvalidArgument: 400,
  InvalidBucketName: 400,
  InvalidDigest: 400,
  InvalidPart: 400,
  InvalidPartOrder: 400,
  InvalidRange: 416,
  InvalidRequest: 400,
  InvalidURI: 400,
  KeyTooLongError: 400,
  MalformedXML: 400,
  MethodNotAllowed: 405,
  MissingContentLength: 411,
  NoSuchBucket: 404,
  NoSuchKey: 404,
  NoSuchUpload: 404,
  NotImplemented: 501,
  NotModified: 304,
  PreconditionFailed: 412,
  RequestTimeTooSkewed: 403,
  SignatureDoesNotMatch: 403,
  XAmzContentSHA256Mismatch: 400,
} as const;

export type S3Code = keyof typeof s3Codes;

/** What a request is refused with. */
export class S3Error extends Error {
  readonly code: S3Code;
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly extra: XmlElement[];

  constructor(
    code: S3Code,
    message: string,
    { headers = {}, extra = [] }: { headers?: Record<string, string>; extra?: XmlElement[] } = {},
  ) {
    super(message);
    this.code = code;
    this.status = s3Codes[code];
    this.headers = headers;
    this.extra = extra;
  }

  toXml(resource: string, requestId: string): string {
    return xmlDocument(
      'Error',
      [
        ['Code', this.code],
        ['Message', this.message],
        ...this.extra,
        ['Resource', resource],
        ['RequestId', requestId],
      ],
      false,
    );
  }
}
