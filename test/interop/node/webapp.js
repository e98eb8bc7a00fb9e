// A web app that signs people in with openid-client, a library that offkey's
// authors did not write: its pages, its sessions, its sign-out.
//
// first line of stdin: {issuer, client, secret, scope, resource, port}
// first line of stdout: {url}. It serves until its input ends.
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import * as client from 'openid-client'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const ask = JSON.parse((await lines.next()).value)
const home = `http://localhost:${ask.port}`
const sessions = new Map() // by cookie: what is kept of a sign-in that began, then who it is

let discovered
const issuer = async () => (discovered ??= await client.discovery(new URL(ask.issuer), ask.client, undefined, client.ClientSecretBasic(ask.secret), { execute: [client.allowInsecureRequests] }))
const text = (s) => String(s).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)
const html = (response, body) => { response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }); response.end(`<!doctype html><title>Acme Shop</title>${body}`) }
const go = (response, url, cookie) => { response.writeHead(302, { location: url, ...(cookie && { 'set-cookie': `shop=${cookie}; HttpOnly; SameSite=Lax; Path=/` }) }); response.end() }

const pages = {
  async '/'(session, response) {
    if (!session?.claims) return html(response, '<p id="stranger">Not signed in.</p><a id="login" href="/login">Sign in</a>')
    html(response, `<p id="hello">${text(session.name)}</p><p id="acr">${text(session.claims.acr)}</p><p id="amr">${text(session.claims.amr)}</p><p id="orders">${text(session.orders)}</p><a id="logout" href="/logout">Sign out</a>`)
  },
  async '/login'(_, response, url) {
    const config = await issuer()
    const verifier = client.randomPKCECodeVerifier(), state = client.randomState(), nonce = client.randomNonce(), id = randomUUID()
    sessions.set(id, { verifier, state, nonce })
    go(response, client.buildAuthorizationUrl(config, {
      redirect_uri: `${home}/callback`, scope: ask.scope, resource: ask.resource, state, nonce,
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...Object.fromEntries(url.searchParams),
    }).href, id)
  },
  async '/callback'(session, response, url) {
    const config = await issuer()
    const { verifier, state, nonce } = session
    const tokens = await client.authorizationCodeGrant(config, url, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true })
    session.claims = tokens.claims()
    session.idToken = tokens.id_token
    session.name = (await client.fetchUserInfo(config, tokens.access_token, session.claims.sub)).given_name
    session.orders = await (await client.fetchProtectedResource(config, tokens.access_token, new URL(`${ask.resource}/v1/orders`), 'GET')).text()
    go(response, '/')
  },
  async '/logout'(session, response) {
    const { idToken } = session
    delete session.claims
    go(response, client.buildEndSessionUrl(await issuer(), { id_token_hint: idToken, post_logout_redirect_uri: `${home}/bye`, state: 'x' }).href)
  },
  async '/bye'(_, response) { html(response, '<p id="bye">Signed out.</p><a id="login" href="/login">Sign in</a>') },
}

createServer(async (request, response) => {
  const url = new URL(request.url, home)
  const session = sessions.get(/shop=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1])
  try {
    const page = pages[url.pathname]
    if (!page) { response.writeHead(404); return response.end() }
    await page(session, response, url)
  } catch (error) {
    html(response, `<p id="error">${text(error.error ?? error.code ?? error)}</p><p>${text(error.error_description ?? error.message)}</p><a id="login" href="/login">Sign in</a>`)
  }
}).listen(ask.port, '127.0.0.1', () => console.log(JSON.stringify({ url: home })))
await lines.next()
process.exit(0)
