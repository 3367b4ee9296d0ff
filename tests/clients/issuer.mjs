// An issuer that nobody here wrote (oidc-provider): client credentials, tokens for the resource that a client names
// (RFC 8707), signed with a key that it makes when it starts. The arguments are its URL, on loopback, and a resource.
import { generateKeyPairSync } from "node:crypto";

import { Provider, errors } from "oidc-provider";

const [issuer, resource] = process.argv.slice(2);
const other = "https://other.example/mcp";

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const key = { ...privateKey.export({ format: "jwk" }), kid: `key-${Date.now()}`, use: "sig", alg: "ES256" };

function client(client_id, scope) {
  return {
    client_id,
    client_secret: `${client_id}-secret`,
    scope,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  };
}

const all = "tasks:call tasks:read reports";
const provider = new Provider(issuer, {
  jwks: { keys: [key] },
  clients: [client("nightly", all), client("reader", "tasks:read"), client("late", all)],
  clientDefaults: { id_token_signed_response_alg: "ES256" },
  scopes: all.split(" "),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, named) => {
        if (named !== resource && named !== other) throw new errors.InvalidTarget();
        return { audience: named, scope: all, accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } } };
      },
    },
  },
  formats: {
    customizers: {
      // What this client gets expired an hour ago.
      jwt: (_context, token, { payload }) => {
        if (token.clientId === "late") payload.exp = payload.iat - 3600;
      },
    },
  },
});

const { hostname, port } = new URL(issuer);
provider.listen(Number(port), hostname, () => console.log(`${issuer} issues tokens`));
