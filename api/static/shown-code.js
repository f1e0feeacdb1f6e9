// The code that a phone shows: {credential, iat, cti, challenge?} as a CWT signed by the phone's own key (ES256), behind
// https://HOST/v#. It works without network. formats/codes/shown.py reads it; docs/credentials.md says every byte.

const IAT = 6, CTI = 7, CREDENTIAL = -70013, CHALLENGE = -70014;
const MAX_SHOWN = 900;
const PROTECTED = Uint8Array.of(0xa1, 0x01, 0x26); // {1: -7}: ES256
const HOST = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::\d{1,5})?$/;

/**
 * The address to show as a QR code.
 * @param {{host: string, credential: Uint8Array, key: CryptoKey, at: Date, challenge?: string|null}} what
 *   host: the issuing region's listed domain; credential: the compact credential; key: ECDSA P-256, for signing;
 *   challenge: digits that the verifier asked the holder to type
 * @returns {Promise<string>}
 * @throws {RangeError} a host that is none, or more than a code can hold
 */
export async function shownCode({ host, credential, key, at, challenge = null }) {
  if (!HOST.test(host)) throw new RangeError("host");
  const payload = join(payloadParts(credential, at, challenge));
  const toSign = join([head(4, 4), text("Signature1"), bytes(PROTECTED), bytes(new Uint8Array(0)), bytes(payload)]);
  const signature = new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, toSign));
  const sign1 = [head(4, 4), bytes(PROTECTED), head(5, 0), bytes(payload), bytes(signature)];
  const raw = join([head(6, 61), head(6, 18), ...sign1]);
  if (raw.length > MAX_SHOWN) throw new RangeError("too long");
  return `${isLocal(host) ? "http" : "https"}://${host}/v#${base64url(await deflate(raw))}`;
}

/** Bytes of unpadded base64url, as the service sends a credential. */
export function fromBase64url(encoded) {
  const binary = atob(encoded.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** Unpadded base64url of bytes. */
export function base64url(raw) {
  const binary = Array.from(raw, (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

// The map in canonical order (RFC 8949 §4.2.3, shorter keys first, as cbor2 writes it): 6, 7, then -70013 and -70014.
function payloadParts(credential, at, challenge) {
  const parts = [
    head(5, challenge ? 4 : 3),
    integer(IAT), integer(Math.floor(at.getTime() / 1000)),
    integer(CTI), bytes(crypto.getRandomValues(new Uint8Array(8))),
    integer(CREDENTIAL), bytes(credential),
  ];
  if (challenge) parts.push(integer(CHALLENGE), text(challenge));
  return parts;
}

function head(major, number) {
  const kind = major << 5;
  if (number < 24) return Uint8Array.of(kind | number);
  if (number < 0x100) return Uint8Array.of(kind | 24, number);
  if (number < 0x10000) return Uint8Array.of(kind | 25, number >> 8, number & 255);
  const out = new DataView(new ArrayBuffer(number < 0x100000000 ? 5 : 9));
  out.setUint8(0, kind | (number < 0x100000000 ? 26 : 27));
  if (number < 0x100000000) out.setUint32(1, number);
  else out.setBigUint64(1, BigInt(number));
  return new Uint8Array(out.buffer);
}

const integer = (value) => (value < 0 ? head(1, -1 - value) : head(0, value));
const bytes = (raw) => join([head(2, raw.length), raw]);

function text(value) {
  const raw = new TextEncoder().encode(value);
  return join([head(3, raw.length), raw]);
}

function join(parts) {
  const out = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let position = 0;
  for (const part of parts) {
    out.set(part, position);
    position += part.length;
  }
  return out;
}

async function deflate(raw) {
  const packed = new Blob([raw]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

function isLocal(host) {
  const name = host.split(":")[0];
  return name === "localhost" || name.endsWith(".localhost");
}
