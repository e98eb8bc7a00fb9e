// Gets tokens that are bound to a DPoP key or to a TLS certificate, and calls
// the API with them, with libraries that offkey's authors did not write.
//
// stdin: {library, bind: "dpop"|"mtls", issuer, client, scope, resource, url, key (PEM), alg, kid, cert, certKey, ca}
// stdout: {token_type, cnf, status, again, bearer} where status and again are of
// two calls with one token, and bearer of one without proof or certificate;
// or {error}.
import { text } from 'node:stream/consumers'
import https from 'node:https'
import { decodeJwt, importPKCS8 } from 'jose'
import * as webapi from 'oauth4webapi'
import * as client from 'openid-client'

const ask = JSON.parse(await text(process.stdin))
const parameters = { scope: ask.scope, resource: ask.resource }
const mtls = ask.bind === 'mtls'
const url = new URL(ask.url)

// fetchWith is fetch over connections with that certificate, or none.
const fetchWith = (cert, key) => (target, options) => new Promise((resolve, reject) => {
  const headers = Object.fromEntries(new Headers(options.headers))
  const request = https.request(target, { method: options.method, headers, cert, key, ca: ask.ca, agent: false }, async response => {
    const parts = []
    for await (const part of response) parts.push(part)
    resolve(new Response(Buffer.concat(parts), { status: response.statusCode, headers: Object.entries(response.headers).map(([name, value]) => [name, String(value)]) }))
  })
  request.on('error', reject)
  request.end(options.body === undefined ? undefined : String(options.body))
})
const fetching = fetchWith(mtls ? ask.cert : undefined, mtls ? ask.certKey : undefined)

async function openidClient() {
  const auth = mtls ? client.TlsClientAuth() : client.PrivateKeyJwt({ key: await importPKCS8(ask.key, ask.alg), kid: ask.kid })
  const config = await client.discovery(new URL(ask.issuer), ask.client, { use_mtls_endpoint_aliases: mtls }, auth, { algorithm: 'oauth2', [client.customFetch]: fetching })
  const DPoP = mtls ? undefined : client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
  const token = await client.clientCredentialsGrant(config, parameters, { DPoP })
  return { token, call: () => client.fetchProtectedResource(config, token.access_token, url, 'GET', undefined, undefined, { DPoP }) }
}

async function oauth4webapi() {
  const auth = mtls ? webapi.TlsClientAuth() : webapi.PrivateKeyJwt({ key: await importPKCS8(ask.key, ask.alg), kid: ask.kid })
  const options = { [webapi.customFetch]: fetching }
  const issuer = new URL(ask.issuer)
  const server = await webapi.processDiscoveryResponse(issuer, await webapi.discoveryRequest(issuer, { algorithm: 'oauth2', ...options }))
  const us = { client_id: ask.client, use_mtls_endpoint_aliases: mtls }
  const DPoP = mtls ? undefined : webapi.DPoP(us, await webapi.generateKeyPair('ES256'))
  // Here the nonce is the caller's business: asked for, the same again.
  const retried = async attempt => { try { return await attempt() } catch (error) { if (webapi.isDPoPNonceError(error)) return await attempt(); throw error } }
  const token = await retried(async () => webapi.processClientCredentialsResponse(server, us, await webapi.clientCredentialsGrantRequest(server, us, auth, parameters, { ...options, DPoP })))
  return { token, call: () => retried(() => webapi.protectedResourceRequest(token.access_token, 'GET', url, undefined, undefined, { ...options, DPoP })) }
}

let answer
try {
  const { token, call } = await { 'openid-client': openidClient, oauth4webapi }[ask.library]()
  const first = await call()
  const second = await call()
  const bearer = await fetchWith()(url, { method: 'GET', headers: { authorization: `Bearer ${token.access_token}` } })
  answer = { token_type: token.token_type, cnf: Object.keys(decodeJwt(token.access_token).cnf ?? {}), status: first.status, again: second.status, bearer: bearer.status }
} catch (error) {
  const refusal = error.error ? error : await error.response?.json?.().catch(() => undefined)
  answer = { error: refusal?.error ?? String(error), error_description: refusal?.error_description ?? String(error.cause ?? '') }
}
console.log(JSON.stringify(answer))
