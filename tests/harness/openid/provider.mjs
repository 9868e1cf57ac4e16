// An OpenID provider on loopback: npm's oidc-provider, with the people of the test world and JWT access tokens.
// Settings come as one JSON line on standard input; one JSON line on standard output says that it listens.
import https from 'node:https';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';
import { importPKCS8, exportJWK } from 'jose';

const line = (await createInterface({ input: process.stdin })[Symbol.asyncIterator]().next()).value;
const { certificate, key, signing_key, key_id, audience, people } = JSON.parse(line);
// The harness holds the other end of standard input: when it goes, so does this process.
process.stdin.on('close', () => process.exit(0)).on('end', () => process.exit(0)).resume();

const signingKey = await exportJWK(await importPKCS8(signing_key, 'RS256', { extractable: true }));
const claimsOf = (id) => ({ preferred_username: id, email: `${id}@example.test`, groups: [], roles: [], ...people[id] });

const server = https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `https://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  jwks: { keys: [{ ...signingKey, kid: key_id, alg: 'RS256', use: 'sig' }] },
  clients: [{
    client_id: 'psql', token_endpoint_auth_method: 'none', application_type: 'native',
    redirect_uris: ['http://127.0.0.1/callback'], grant_types: ['authorization_code'], response_types: ['code'],
  }],
  cookies: { keys: ['only for tests'] },
  claims: { openid: ['sub', 'preferred_username', 'email', 'groups', 'roles', 'tid'] },
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => `urn:${audience}`,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'openid', audience, accessTokenFormat: 'jwt', accessTokenTTL: 3600, jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  findAccount: async (_, id) => (id in people
    ? { accountId: id, claims: async () => ({ sub: `sub-${id}`, ...claimsOf(id) }) } : undefined),
  extraTokenClaims: (_, token) => (token.accountId ? claimsOf(token.accountId) : {}),
  pkce: { required: () => true },
  ttl: { AccessToken: 3600, AuthorizationCode: 60, IdToken: 3600, Grant: 3600, Session: 3600, Interaction: 600 },
});
provider.on('server_error', (_, error) => console.error(error));
server.on('request', provider.callback());
console.log(JSON.stringify({ issuer }));
