// Signs somebody in with a library that offkey's authors did not write. The test
// lends its browser: this writes {open, code}, and reads {at}, which is where the
// browser ended up.
//
// first line of stdin: {library, flow, auth, issuer, client, secret, key (PEM),
// alg, kid, redirect, home, scope, resource, par, dpop, jar}
// last line of stdout: what the library made of the answers, each verified by
// it, or {error, error_description}.
import { createInterface } from 'node:readline'
import { importPKCS8 } from 'jose'
import * as webapi from 'oauth4webapi'
import * as client from 'openid-client'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async () => JSON.parse((await lines.next()).value)
const write = (answer) => console.log(JSON.stringify(answer))
const browse = async (url, code) => { write({ open: url, code }); return new URL((await read()).at) }

const ask = await read()
const key = ask.key && { key: await importPKCS8(ask.key, ask.alg), kid: ask.kid }
const proving = (m) => ({
  none: () => m.None(), private_key_jwt: () => m.PrivateKeyJwt(key), client_secret_basic: () => m.ClientSecretBasic(ask.secret), client_secret_post: () => m.ClientSecretPost(ask.secret),
})[ask.auth]()
const told = (tokens, claims) => ({
  access_token: tokens.access_token, token_type: tokens.token_type, scope: tokens.scope, refresh_token: !!tokens.refresh_token, claims, issued_token_type: tokens.issued_token_type,
})

async function openidClient() {
  const config = await client.discovery(new URL(ask.issuer), ask.client, undefined, proving(client), { execute: [client.allowInsecureRequests] })
  const dpop = ask.dpop && { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256')) }
  let tokens
  if (ask.flow === 'device') {
    const device = await client.initiateDeviceAuthorization(config, { scope: ask.scope, resource: ask.resource })
    await browse(device.verification_uri_complete, device.user_code)
    tokens = await client.pollDeviceAuthorizationGrant(config, device, undefined, dpop)
    return [config, dpop, tokens, told(tokens, tokens.claims())]
  }
  const verifier = client.randomPKCECodeVerifier(), state = client.randomState(), nonce = client.randomNonce()
  const parameters = {
    redirect_uri: ask.redirect, scope: ask.scope, resource: ask.resource, state, nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  }
  const url = ask.par ? await client.buildAuthorizationUrlWithPAR(config, parameters, dpop)
    : ask.jar ? await client.buildAuthorizationUrlWithJAR(config, parameters, key)
      : client.buildAuthorizationUrl(config, parameters)
  const back = await browse(url.href)
  tokens = await client.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true }, undefined, dpop)
  return [config, dpop, tokens, told(tokens, tokens.claims())]
}

async function usedByOpenidClient() {
  const [config, dpop, tokens, answer] = await openidClient()
  answer.userinfo = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, dpop)
  let last = tokens
  if (tokens.refresh_token) {
    last = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, dpop)
    answer.refreshed = last.access_token
  }
  if (ask.call) {
    const response = await client.fetchProtectedResource(config, last.access_token, new URL(ask.call), 'GET', null, undefined, dpop)
    answer.called = await response.text()
  }
  if (ask.exchange) {
    const other = await client.discovery(new URL(ask.issuer), ask.exchange.client, undefined, client.ClientSecretBasic(ask.exchange.secret), { execute: [client.allowInsecureRequests] })
    answer.exchanged = told(await client.genericGrantRequest(other, 'urn:ietf:params:oauth:grant-type:token-exchange', {
      subject_token: last.access_token, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token', resource: ask.exchange.resource,
    }))
  }
  if (ask.auth !== 'none') answer.introspected = await client.tokenIntrospection(config, last.access_token)
  await client.tokenRevocation(config, last.refresh_token ?? last.access_token)
  if (ask.auth !== 'none') answer.afterwards = await client.tokenIntrospection(config, last.access_token)
  if (ask.home) answer.logout = client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: ask.home, state: 'bye' }).href
  return answer
}

async function usedByOauth4webapi() {
  const loopback = { [webapi.allowInsecureRequests]: true }
  const issuer = new URL(ask.issuer)
  const server = await webapi.processDiscoveryResponse(issuer, await webapi.discoveryRequest(issuer, loopback))
  const us = { client_id: ask.client }
  const auth = proving(webapi)
  let answer, tokens
  if (ask.flow === 'device') {
    const device = await webapi.processDeviceAuthorizationResponse(server, us, await webapi.deviceAuthorizationRequest(server, us, auth, { scope: ask.scope, resource: ask.resource }, loopback))
    const poll = async () => webapi.processDeviceCodeResponse(server, us, await webapi.deviceCodeGrantRequest(server, us, auth, device.device_code, loopback))
    const early = []
    for (let i = 0; i < 2; i++) early.push(await poll().catch((error) => error.error))
    await browse(device.verification_uri_complete, device.user_code)
    tokens = await poll()
    answer = { ...told(tokens, webapi.getValidatedIdTokenClaims(tokens)), early }
  } else {
    const verifier = webapi.generateRandomCodeVerifier(), state = webapi.generateRandomState(), nonce = webapi.generateRandomNonce()
    const url = new URL(server.authorization_endpoint)
    url.search = new URLSearchParams({
      client_id: ask.client, redirect_uri: ask.redirect, response_type: 'code', scope: ask.scope, resource: ask.resource, state, nonce,
      code_challenge: await webapi.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    })
    const back = webapi.validateAuthResponse(server, us, await browse(url.href), state)
    tokens = await webapi.processAuthorizationCodeResponse(server, us, await webapi.authorizationCodeGrantRequest(server, us, auth, back, ask.redirect, verifier, loopback), { expectedNonce: nonce, requireIdToken: true })
    answer = told(tokens, webapi.getValidatedIdTokenClaims(tokens))
  }
  if (ask.auth !== 'none') {
    const signed = { ...loopback, requestJwtResponse: true }
    const response = await webapi.introspectionRequest(server, us, auth, tokens.access_token, signed)
    answer.introspected = await webapi.processIntrospectionResponse(server, { ...us, introspection_signed_response_alg: ask.signed }, response)
    await webapi.validateApplicationLevelSignature(server, response, loopback)
  }
  await webapi.processRevocationResponse(await webapi.revocationRequest(server, us, auth, tokens.refresh_token ?? tokens.access_token, loopback))
  return answer
}

let answer
try {
  answer = await { 'openid-client': usedByOpenidClient, oauth4webapi: usedByOauth4webapi }[ask.library]()
} catch (error) {
  // A 401 with a challenge is an error of its own there, whose body is not read.
  const refusal = error.error ? error : await error.response?.json?.().catch(() => undefined)
  answer = { error: refusal?.error ?? String(error), error_description: refusal?.error_description ?? JSON.stringify(error.cause) }
}
write(answer)
process.exit(0)
