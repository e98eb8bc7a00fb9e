// Gets tokens by client_credentials with a library that offkey's authors did
// not write.
//
// stdin: {library, auth, issuer, client, scope, resource, key (PEM), alg, kid, secret}
// stdout: {tokens: [{access_token, expires_in, scope, token_type}, …]} of two
// requests, or {error, error_description} of the first refusal.
import { text } from 'node:stream/consumers'
import { importPKCS8 } from 'jose'
import * as webapi from 'oauth4webapi'
import * as client from 'openid-client'

const ask = JSON.parse(await text(process.stdin))
const parameters = { scope: ask.scope, resource: ask.resource }
const key = ask.key && { key: await importPKCS8(ask.key, ask.alg), kid: ask.kid }

async function openidClient() {
  const auth = { private_key_jwt: () => client.PrivateKeyJwt(key), client_secret_basic: () => client.ClientSecretBasic(ask.secret), client_secret_post: () => client.ClientSecretPost(ask.secret) }[ask.auth]()
  const config = await client.discovery(new URL(ask.issuer), ask.client, undefined, auth, { algorithm: 'oauth2', execute: [client.allowInsecureRequests] })
  return () => client.clientCredentialsGrant(config, parameters)
}

async function oauth4webapi() {
  const auth = { private_key_jwt: () => webapi.PrivateKeyJwt(key), client_secret_basic: () => webapi.ClientSecretBasic(ask.secret), client_secret_post: () => webapi.ClientSecretPost(ask.secret) }[ask.auth]()
  const loopback = { [webapi.allowInsecureRequests]: true }
  const issuer = new URL(ask.issuer)
  const server = await webapi.processDiscoveryResponse(issuer, await webapi.discoveryRequest(issuer, { algorithm: 'oauth2', ...loopback }))
  const us = { client_id: ask.client }
  return async () => webapi.processClientCredentialsResponse(server, us, await webapi.clientCredentialsGrantRequest(server, us, auth, parameters, loopback))
}

let answer
try {
  const request = await { 'openid-client': openidClient, oauth4webapi }[ask.library]()
  answer = { tokens: [await request(), await request()] }
} catch (error) {
  // A 401 with a challenge is an error of its own there, whose body is not read.
  const refusal = error.error ? error : await error.response?.json()
  answer = { error: refusal?.error ?? String(error), error_description: refusal?.error_description }
}
console.log(JSON.stringify(answer))
