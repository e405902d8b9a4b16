// A real OpenID provider (the npm package oidc-provider), and somebody with a browser who signs in
// and out there. `cargo xtask provider` puts it beside the package and has a test start it.
//
// Says a line of JSON for each step, and takes one word a line: sign-in USER, sign-out, end.
import { createInterface } from 'node:readline';
import { createServer } from 'node:https';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import Provider from 'oidc-provider';

const { PORT, CERTIFICATE, KEY, LOGOUT } = process.env;
const issuer = `https://localhost:${PORT}`;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const callback = 'https://app.invalid/callback';
const app = { client_id: 'app', client_secret: 'of-the-app' };

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const resource = { scope: '', audience: 'wardline', accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'ES256' } } };
const provider = new Provider(issuer, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'of-today', use: 'sig', alg: 'ES256' }] },
  cookies: { keys: ['of-a-test'] },
  clients: [{
    ...app,
    grant_types: ['authorization_code'],
    redirect_uris: [callback],
    response_types: ['code'],
    id_token_signed_response_alg: 'ES256',
    backchannel_logout_uri: LOGOUT,
    backchannel_logout_session_required: true,
  }],
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: { enabled: true, defaultResource: () => 'urn:wardline', getResourceServerInfo: () => resource, useGrantedResource: () => true },
    rpInitiatedLogout: { enabled: true },
  },
  extraTokenClaims: (ctx) => ({ sid: ctx.oidc.entities.AuthorizationCode?.sid }),
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  pkce: { required: () => false },
});
provider.on('backchannel.success', () => say({ logout: 'accepted' }));
provider.on('backchannel.error', (_, error) => say({ logout: String(error) }));

// What a browser does: keeps cookies, follows redirects to the provider.
const jar = new Map();
async function browse(url, form) {
  let next = { url, form };
  for (;;) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(next.url, {
      redirect: 'manual',
      method: next.form ? 'POST' : 'GET',
      headers: { cookie, ...(next.form && { 'content-type': 'application/x-www-form-urlencoded' }) },
      body: next.form && new URLSearchParams(next.form),
    });
    for (const line of answer.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split(/=(.*)/);
      if (value) jar.set(name, value); else jar.delete(name);
    }
    const to = answer.headers.get('location');
    if (!to) return { url: next.url, text: await answer.text() };
    next = { url: new URL(to, next.url).href };
    if (next.url.startsWith(callback) || next.url.includes('/interaction/')) return next;
  }
}

let idToken;
async function signIn(user) {
  const query = new URLSearchParams({ client_id: app.client_id, redirect_uri: callback, response_type: 'code', scope: 'openid', resource: 'urn:wardline' });
  let page = await browse(`${issuer}/auth?${query}`);
  page = await browse(page.url, { prompt: 'login', login: user, password: 'any' });
  while (page.url.includes('/interaction/')) page = await browse(page.url, { prompt: 'consent' });
  const code = new URL(page.url).searchParams.get('code');
  const answer = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${app.client_id}:${app.client_secret}`)}` },
    body: new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: callback, resource: 'urn:wardline' }),
  });
  const tokens = await answer.json();
  idToken = tokens.id_token;
  say({ token: tokens.access_token, error: tokens.error_description });
}

async function signOut() {
  const page = await browse(`${issuer}/session/end?${new URLSearchParams({ id_token_hint: idToken })}`);
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)[1];
  await browse(`${issuer}/session/end/confirm`, { xsrf, logout: 'yes' });
}

const tls = { cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) };
createServer(tls, provider.callback()).listen(Number(PORT), '127.0.0.1', () => say({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, user] = line.split(' ');
  try {
    if (verb === 'sign-in') await signIn(user);
    if (verb === 'sign-out') await signOut();
  } catch (error) {
    say({ error: `${error.stack} ${error.cause}` });
  }
  if (verb === 'end') break;
}
process.exit(0);
