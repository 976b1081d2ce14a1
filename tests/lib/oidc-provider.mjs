// An OpenID provider for tests, on a free port of this machine: node oidc-provider.mjs NODE_MODULES OPTIONS(JSON)
// Signs with options.alg, ES256 or EdDSA.  Prints its issuer.  Clients: "berth" (secret "hush", authorisation code with PKCE), and workloads that get JWTs for the
// audience "berth" by their credentials.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { generateKeyPairSync } from 'node:crypto';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(process.argv[2] + '/'));
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));
const options = JSON.parse(process.argv[3]);

const pair = options.alg === 'EdDSA' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
const key = { ...pair.privateKey.export({ format: 'jwk' }), kid: options.kid, use: 'sig', alg: options.alg };
const server = createServer((request, response) => handler(request, response));
let handler = (_, response) => response.writeHead(503).end();

server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const workload = (id) => ({ client_id: id, client_secret: `${id}-secret`, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] });
  const provider = new Provider(issuer, {
    jwks: { keys: [key] },
    clients: [
      { client_id: 'berth', client_secret: 'hush', redirect_uris: [options.redirect], grant_types: ['authorization_code'], id_token_signed_response_alg: options.alg },
      ...options.workloads.map(workload),
    ],
    clientDefaults: { id_token_signed_response_alg: options.alg },
    pkce: { required: () => true, methods: ['S256'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified', 'groups'] },
    conformIdTokenClaims: false,
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@test`, email_verified: id !== 'mallory', groups: ['dev', 'a b'] }) }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_, resource) => ({ scope: '', audience: resource.slice('urn:'.length), accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg: options.alg } } }),
      },
    },
    extraTokenClaims: (_, token) => ({ project_path: `group/${token.clientId}`, ref_protected: token.clientId !== 'unprotected', groups: ['team-a', 'team-b'], 'kubernetes.io': { namespace: 'ns' } }),
  });
  handler = provider.callback();
  console.log(issuer);
});
