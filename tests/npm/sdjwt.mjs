// An independent reader and issuer of SD-JWT VCs, with Token Status Lists: {command, …} on standard input, JSON on standard output.
import { webcrypto } from "node:crypto";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";

const input = JSON.parse(await new Response(process.stdin).text());
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const bytes = (text) => new TextEncoder().encode(text);

const signer = (jwk) => async (data) => {
  const key = await webcrypto.subtle.importKey("jwk", jwk, algorithm, false, ["sign"]);
  return Buffer.from(await webcrypto.subtle.sign(algorithm, key, bytes(data))).toString("base64url");
};
const verifier = (jwk) => async (data, signature) => {
  const key = await webcrypto.subtle.importKey("jwk", jwk, algorithm, false, ["verify"]);
  return webcrypto.subtle.verify(algorithm, key, Buffer.from(signature, "base64url"), bytes(data));
};

const vc = new SDJwtVcInstance({
  signAlg: "ES256",
  kbSignAlg: "ES256",
  hashAlg: "sha-256",
  hasher: async (data, name) => new Uint8Array(await webcrypto.subtle.digest(name ?? "sha-256", typeof data === "string" ? bytes(data) : data)),
  saltGenerator: (length) => Buffer.from(webcrypto.getRandomValues(new Uint8Array(length))).toString("base64url"),
  verifier: verifier(input.issuer),
  kbVerifier: (data, signature, payload) => verifier(payload.cnf.jwk)(data, signature),
  ...(input.issuerPrivate && { signer: signer(input.issuerPrivate) }),
  ...(input.holderPrivate && { kbSigner: signer(input.holderPrivate) }),
  // "status_lists": {uri: JWT}, or where "fetch" is set the list is fetched from where the credential says.
  statusListFetcher: async (uri) => (input.fetch ? (await fetch(uri, { headers: { accept: "application/statuslist+jwt" } })).text() : input.statusLists[uri]),
  statusVerifier: verifier(input.statusKey ?? input.issuer),
});

const commands = {
  verify: async () => {
    const options = { currentDate: input.now, ...(input.nonce && { keyBindingNonce: input.nonce }) };
    return (await vc.verify(input.credential, options)).payload;
  },
  issue: () => vc.issue(input.claims, { _sd: input.hidden }, { header: { kid: "theirs" } }),
  present: () => vc.present(input.credential, input.frame, {
    kb: { payload: { iat: input.now, aud: input.audience, nonce: input.nonce } },
  }),
};

try {
  console.log(JSON.stringify({ ok: await commands[input.command]() }));
} catch (error) {
  console.log(JSON.stringify({ refused: `${error?.name}: ${error?.message}` }));
}
