// An MCP client of the official SDK that knows the URL of a server alone: it calls
// tools, and goes on in the same session once the test has asked for more.
//
// first line of stdin: {resource, issuer, and one of document (URL of client
// metadata) with redirect, redirect alone (it registers itself), client with
// secret, or client with key (PEM) and alg, and machine_scope}
// It writes {open} and reads {at} where it needs a browser, {step} and reads a line
// when the test has done its part.
// last line of stdout: {callers, access_token, refresh_token, protocol} or {error,
// error_description}.
import { randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js'
import { ClientCredentialsProvider, PrivateKeyJwtProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async () => JSON.parse((await lines.next()).value)
const write = (answer) => console.log(JSON.stringify(answer))
const ask = await read()

// Person keeps what the SDK wants kept, in memory.
class Person {
  redirectUrl = ask.redirect
  clientMetadataUrl = ask.document
  clientMetadata = { client_name: 'TypeScript SDK', redirect_uris: [ask.redirect], token_endpoint_auth_method: 'none', grant_types: ['authorization_code'] }
  state = () => (this.sent = randomUUID())
  clientInformation = () => this.information
  saveClientInformation = (information) => { this.information = information }
  tokens = () => this.kept
  saveTokens = (tokens) => { this.kept = tokens }
  codeVerifier = () => this.verifier
  saveCodeVerifier = (verifier) => { this.verifier = verifier }
  redirectToAuthorization = async (url) => { write({ open: url.href }); this.back = new URL((await read()).at).searchParams }

  code() {
    if (this.back.get('error')) throw Object.assign(new Error(this.back.get('error_description')), { error: this.back.get('error') })
    if (this.back.get('state') !== this.sent || this.back.get('iss') !== ask.issuer) throw new Error('state or iss came back changed')
    return this.back.get('code')
  }
}

const machine = { clientId: ask.client, expectedIssuer: ask.issuer, scope: ask.machine_scope }
const provider = ask.redirect ? new Person()
  : ask.secret ? new ClientCredentialsProvider({ ...machine, clientSecret: ask.secret })
    : new PrivateKeyJwtProvider({ ...machine, privateKey: ask.key, algorithm: ask.alg })

const client = new Client({ name: 'client', version: '1.0.0' })
let transport

// signed runs something again once the person has allowed it.
async function signed(attempt) {
  try {
    return await attempt()
  } catch (error) {
    if (!(error instanceof UnauthorizedError) || !provider.back) throw error
    await transport.finishAuth(provider.code())
    return await attempt()
  }
}

const whoami = async () => (await signed(() => client.callTool({ name: 'whoami' }))).structuredContent

let answer
try {
  await signed(() => client.connect(transport = new StreamableHTTPClientTransport(new URL(ask.resource), { authProvider: provider })))
  const callers = [await whoami()]
  // The first word of a call comes before its end, which another call brings.
  const id = randomUUID()
  await new Promise((resolve, reject) => {
    let released = false
    const release = () => { released = true; client.callTool({ name: 'release', arguments: { ID: id } }).catch(reject) }
    client.callTool({ name: 'wait', arguments: { ID: id } }, undefined, { onprogress: release, timeout: 30000 })
      .then(() => released ? resolve() : reject(new Error('wait ended before it was released')), reject)
  })
  const tokens = provider.tokens()
  write({ step: 'ask for more' })
  await read()
  callers.push(await whoami())
  answer = { callers, access_token: tokens.access_token, refresh_token: !!tokens.refresh_token, protocol: client.transport.protocolVersion }
  await transport.terminateSession()
  await client.close()
} catch (error) {
  answer = { error: error.error ?? error.errorCode ?? String(error), error_description: error.message }
}
write(answer)
process.exit(0)
