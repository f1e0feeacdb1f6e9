// A real OpenID provider for the tests: any name signs in at its own pages.
import { Provider } from "oidc-provider";

const { ISSUER, REDIRECTS, SECRET } = process.env;
const common = { redirect_uris: REDIRECTS.split(","), response_types: ["code"], grant_types: ["authorization_code"] };
const provider = new Provider(ISSUER, {
  clients: [
    { client_id: "xinyin", client_secret: SECRET, ...common },
    { client_id: "xinyin-post", client_secret: SECRET, token_endpoint_auth_method: "client_secret_post", ...common },
    { client_id: "xinyin-public", token_endpoint_auth_method: "none", ...common },
  ],
  cookies: { keys: ["only for tests"] },
  pkce: { required: () => true },
  claims: { openid: ["sub"], profile: ["name"] },
  findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id, name: `样本 ${id}` }) }),
  features: { devInteractions: { enabled: true } },
  ttl: { Session: 3600, Interaction: 600, Grant: 3600, IdToken: 600, AccessToken: 600, AuthorizationCode: 60 },
});
provider.listen(Number(new URL(ISSUER).port), "127.0.0.1", () => console.log("ready"));
