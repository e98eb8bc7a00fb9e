// An issuer and an API that offkey's authors did not write: oidc-provider gives
// out the tokens, jose verifies them. Both are on loopback.
//
// stdin: one line of JSON, {clients: [metadata], scopes: [...], life: seconds}
// stdout: one line of JSON, {issuer, api}
// They end when stdin does.
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose'
import { Provider } from 'oidc-provider'

const listen = (server) => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`)))

const input = createInterface({ input: process.stdin })
input.on('close', () => process.exit(0))
const config = JSON.parse(await new Promise((resolve) => input.once('line', resolve)))

// The two need each other's address before they can answer.
let serveIssuer
const issuer = await listen(createServer((req, res) => serveIssuer(req, res)))
const api = await listen(createServer((req, res) => serveAPI(req, res)))

const { privateKey } = await generateKeyPair('ES256', { extractable: true })
const provider = new Provider(issuer, {
  jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'signing', alg: 'ES256', use: 'sig' }] },
  clients: config.clients.map((client) => ({
    ...client,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: 'ES256',
  })),
  scopes: config.scopes,
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => api,
      getResourceServerInfo: () => ({
        scope: config.scopes.join(' '),
        audience: api,
        accessTokenFormat: 'jwt',
        accessTokenTTL: config.life,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
})
serveIssuer = provider.callback()

const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`))
const routes = { 'GET /orders': 'read:orders', 'POST /orders': 'create:orders' }

async function serveAPI(req, res) {
  const answer = (status, body, challenge) => {
    res.writeHead(status, { 'Content-Type': 'application/json', ...(challenge && { 'WWW-Authenticate': challenge }) })
    res.end(JSON.stringify(body))
  }
  const needs = routes[`${req.method} ${req.url}`]
  const token = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1]
  if (!token) return answer(401, { refused: 'no token' }, 'Bearer')
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience: api, typ: 'at+jwt', algorithms: ['ES256'] })
    if (!(payload.scope ?? '').split(' ').includes(needs)) {
      return answer(403, { refused: 'scope' }, `Bearer error="insufficient_scope", scope="${needs}"`)
    }
    answer(200, { client: payload.client_id, scope: payload.scope })
  } catch (error) {
    answer(401, { refused: error.code }, `Bearer error="invalid_token", error_description="${error.code}"`)
  }
}

console.log(JSON.stringify({ issuer, api }))
