// An API that checks access tokens with Auth0's middleware, as strictly as it can.
//
// stdin: {issuer, audience, alg, scope, tokens: {name: token}}
// stdout: {name: {client} | {status, error}} for each
import { text } from 'node:stream/consumers'
import { auth, requiredScopes } from 'express-oauth2-jwt-bearer'

const ask = JSON.parse(await text(process.stdin))
const check = auth({ issuerBaseURL: ask.issuer, audience: ask.audience, tokenSigningAlg: ask.alg, strict: true })
const demand = requiredScopes(ask.scope)
const through = (handler, request) => new Promise((done) => handler(request, {}, done))

const answer = {}
for (const [name, token] of Object.entries(ask.tokens)) {
  const request = { method: 'GET', protocol: 'http', url: '/', originalUrl: '/', get(name) { return this.headers[name.toLowerCase()] }, headers: { host: 'api.example', authorization: `Bearer ${token}` }, query: {}, body: {}, is: () => false }
  const refused = await through(check, request) ?? await through(demand, request)
  answer[name] = refused ? { status: refused.status, error: refused.message } : { client: request.auth.payload.client_id }
}
console.log(JSON.stringify(answer))
