/** The little XML that S3 speaks: elements and text, no attributes that matter. */

/** Elements in order: `['Key', 'a']`, `['Owner', [...]]`. A null value is left out. */
export type XmlElement = [name: string, value: string | number | boolean | null | XmlElement[]];

const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/';

/** A whole document. */
export const xmlDocument = (root: string, children: XmlElement[], withNamespace = true): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<${root}${withNamespace ? ` xmlns="${namespace}"` : ''}>${children.map(render).join('')}</${root}>`;

function render([name, value]: XmlElement): string {
  if (value === null) return '';
  const inner = Array.isArray(value) ? value.map(render).join('') : escapeText(String(value));
  return `<${name}>${inner}</${name}>`;
}

/** XML 1.0 has no way at all to write most control characters; that is what `encoding-type=url` is for. */
const escapeText = (text: string): string =>
  text
    .replace(/[&<>"]/g, (c) => (c === '&' ? '&amp;' : c === '<' ? '&lt;' : c === '>' ? '&gt;' : '&quot;'))
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones meant
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replaceAll('\r', '&#13;');

export interface XmlNode {
  name: string;
  children: XmlNode[];
  text: string;
}

export class XmlSyntaxError extends Error {}

const depthMax = 16;

/**
 * Reads a document of elements and text; attributes are skipped. DTDs are refused, so there are no
 * entities but the five of XML and character references. Throws XmlSyntaxError.
 */
export function parseXml(text: string): XmlNode {
  const root: XmlNode = { name: '', children: [], text: '' };
  const open: XmlNode[] = [root];
  const token = /<\?[^>]*\?>|<!--[\s\S]*?-->|<(\/?)([A-Za-z_][\w:.-]*)((?:\s[^<>]*?)?)(\/?)>|([^<]+)/y;
  while (token.lastIndex < text.length) {
    const match = token.exec(text);
    const current = open.at(-1);
    if (match === null || current === undefined) throw new XmlSyntaxError('not well-formed');
    const [, closing, name, , selfClosing, content] = match;
    if (content !== undefined) current.text += unescapeText(content);
    else if (name === undefined) continue;
    else if (closing === '/') {
      if (open.length < 2 || current.name !== localName(name)) throw new XmlSyntaxError(`stray </${name}>`);
      open.pop();
    } else {
      const node: XmlNode = { name: localName(name), children: [], text: '' };
      current.children.push(node);
      if (selfClosing !== '/') open.push(node);
      if (open.length > depthMax) throw new XmlSyntaxError('too deep');
    }
  }
  const [document] = root.children;
  if (open.length !== 1 || document === undefined || root.children.length !== 1 || root.text.trim() !== '')
    throw new XmlSyntaxError('not one whole document');
  return document;
}

const localName = (name: string): string => name.slice(name.indexOf(':') + 1);

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

const unescapeText = (text: string): string =>
  text.replace(/&(?:#x([0-9a-fA-F]{1,6})|#(\d{1,7})|(\w+));?/g, (_whole, hex, decimal, name) => {
    if (name !== undefined) {
      const entity = entities[name];
      if (entity === undefined) throw new XmlSyntaxError(`unknown entity &${name};`);
      return entity;
    }
    const point = hex === undefined ? Number.parseInt(decimal, 10) : Number.parseInt(hex, 16);
    if (point > 0x10ffff) throw new XmlSyntaxError('no such character');
    return String.fromCodePoint(point);
  });

/** The text of the first child of this name, or null. */
export const childText = (node: XmlNode, name: string): string | null =>
  node.children.find((child) => child.name === name)?.text ?? null;
