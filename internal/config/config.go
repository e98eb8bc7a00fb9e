// Package config is the one file that describes an offkey, as one struct. It
// reads the file, expands it, checks it, and says where each value came from.
// Building the process from it is package app's.
//
// A value is taken from, in this order: a flag, an OFFKEY_* variable, the file,
// the default. Unknown settings are errors that name the line and, where one is
// close, the setting that was meant.
package config

import (
	"net/netip"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/notify"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
)

// Config is a whole configuration file. Only Issuer and one upstream are
// required.
type Config struct {
	Issuer         string         `yaml:"issuer" doc:"Public URL of the authorization server; the only accepted audience of client assertions." boot:"true"`
	Listen         Listen         `yaml:"listen"`
	TLS            TLS            `yaml:"tls"`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" doc:"Networks of proxies whose X-Forwarded-* headers are believed. Empty: nobody's."`
	Storage        Storage        `yaml:"storage"`
	Secrets        Secrets        `yaml:"secrets"`
	Signing        Signing        `yaml:"signing"`
	Tokens         Tokens         `yaml:"tokens"`
	Features       Features       `yaml:"features"`
	Outbound       Outbound       `yaml:"outbound"`
	Issuers        []Issuer       `yaml:"issuers" doc:"Other authorization servers whose access tokens open the API."`
	Gateway        Gateway        `yaml:"gateway"`
	APIKeys        APIKeys        `yaml:"apikeys"`
	Migration      Migration      `yaml:"migration"`
	People         People         `yaml:"people"`
	Trust          []Trust        `yaml:"trust" doc:"Other issuers whose tokens stand for a client. Declared here they are read-only elsewhere."`
	Leaks          Leaks          `yaml:"leaks"`
	Email          Email          `yaml:"email"`
	Telemetry      Telemetry      `yaml:"telemetry"`
	Clients        []Client       `yaml:"clients" doc:"Clients declared here are read-only elsewhere."`
}

// Listen is where the listeners are bound.
type Listen struct {
	Gateway string `yaml:"gateway" doc:"The API's own URLs." boot:"true"`
	Issuer  string `yaml:"issuer" doc:"The authorization server." boot:"true"`
	MTLS    string `yaml:"mtls" doc:"The endpoints of the issuer once more, with a client certificate asked for. Empty: off. Needs tls.mode: files." boot:"true"`
	Admin   string `yaml:"admin" doc:"Console and management API; keep it off public addresses." boot:"true"`
	Ops     string `yaml:"ops" doc:"/livez, /readyz and /metrics." boot:"true"`

	AdminURL string `yaml:"admin_url" doc:"URL at which operators reach the console and the management API. Default: http:// and where admin listens." boot:"true"`
}

// TLS is how the gateway and issuer listeners are protected.
type TLS struct {
	Mode string `yaml:"mode" enum:"none,files" doc:"none: behind a proxy that ends TLS, or on loopback. files: cert and key; both are read again on reload."`
	Cert string `yaml:"cert" doc:"PEM file with the certificate chain."`
	Key  string `yaml:"key" doc:"PEM file with the private key."`
	// What follows is about the certificates of callers.
	ClientCA           string `yaml:"client_ca" doc:"PEM file of the authorities that issue the certificates of tls_client_auth clients."`
	ClientCertificates bool   `yaml:"client_certificates" doc:"The gateway asks callers for a certificate, for tokens that are bound to one. Browsers may prompt their people for it." boot:"true"`
	CertificateHeader  string `yaml:"client_certificate_header" doc:"Header in which trusted_proxies pass on the certificate of a caller whose TLS they end: Client-Cert (RFC 9440), X-Forwarded-Client-Cert (Envoy), or any with nginx's $ssl_client_escaped_cert. Nobody else is believed."`
	MTLSURL            string `yaml:"mtls_url" doc:"Public URL of the issuer where a client certificate is asked for. Default: issuer with the port of listen.mtls."`
}

// Features are switched on and off.
type Features struct {
	Registration     string `yaml:"registration" enum:"closed,token,open" doc:"Who registers clients (RFC 7591) beside those with an apikey. closed: nobody. token: who has a registration token or an approved software statement. open: everybody, for people who are asked every time. Default: closed."`
	ClientIDMetadata string `yaml:"client_id_metadata" enum:"off,on" doc:"on: a client_id may be the https URL of a client metadata document, as MCP clients have it. Default: off."`
	PAR              string `yaml:"par" enum:"optional,required" doc:"required: every authorization request must be pushed first (RFC 9126). Default: optional, but for clients that say so themselves."`
	DPoPNonce        string `yaml:"dpop_nonce" enum:"off,on" doc:"on: a DPoP proof needs a nonce of the issuer, or of the gateway that it is for. Wanted where several gateways serve one API, each of which remembers only the proofs that it saw."`
}

// Storage is where everything is kept.
type Storage struct {
	DSN string `yaml:"dsn" doc:"sqlite:///path/to/offkey.db, for one process; or postgres://user@host/database, for any number of nodes, best as ${file:PATH} where a password is in it. Several hosts (postgres://user@a,b/database): the one that takes writes is used." boot:"true"`
}

// Secrets seal signing keys and apikeys (master key) and fingerprint apikeys
// (pepper). Each is 32 bytes in base64. Left out, they are files beside the
// database, made at the first start.
type Secrets struct {
	MasterKey secret.Text `yaml:"master_key" doc:"32 bytes in base64, best as ${file:/run/secrets/offkey_master}." boot:"true"`
	Pepper    secret.Text `yaml:"pepper" doc:"32 bytes in base64. Apikeys cannot be recognised without it." boot:"true"`
}

// Signing is how tokens are signed.
type Signing struct {
	Alg          jose.Algorithm `yaml:"alg" enum:"ES256,EdDSA,RS256,PS256" doc:"Algorithm of access tokens." boot:"true"`
	RotateEvery  Duration       `yaml:"rotate_every" doc:"A new signing key after this long." boot:"true"`
	PublishAhead Duration       `yaml:"publish_ahead" doc:"How long a new key is published before it signs." boot:"true"`
	KeepAfter    Duration       `yaml:"keep_after" doc:"How long a key stays published after it last signed; at least the longest life of a token." boot:"true"`
}

// Tokens are the lives of what is issued and accepted.
type Tokens struct {
	Access          AccessToken     `yaml:"access"`
	Refresh         RefreshToken    `yaml:"refresh"`
	ClientAssertion ClientAssertion `yaml:"client_assertion"`
}

// AccessToken is the life of an access token.
type AccessToken struct {
	TTL Duration `yaml:"ttl" doc:"Life of an access token."`
}

// RefreshToken is the life of a refresh token: of all that follow each other from
// one sign-in.
type RefreshToken struct {
	TTL        Duration `yaml:"ttl" doc:"How long after a person allowed a client it can renew its tokens."`
	Idle       Duration `yaml:"idle" doc:"Unused for this long a refresh token ends."`
	ReuseGrace Duration `yaml:"reuse_grace" doc:"How long the refresh token before the newest is answered with the newest again, for answers that were lost on the way. 0: not at all; an old one that comes back ends them all."`
}

// ClientAssertion limits what a private_key_jwt client may send.
type ClientAssertion struct {
	MaxLife Duration `yaml:"max_life" doc:"Longest time from now to exp of a client assertion."`
}

// Outbound guards what offkey fetches from addresses that clients name.
type Outbound struct {
	AllowPrivate bool   `yaml:"allow_private" doc:"Let jwks_uri point to loopback and private addresses. For test set-ups."`
	CAFile       string `yaml:"ca_file" doc:"PEM file of further certificate authorities to trust."`
}

// Issuer is an authorization server that is trusted beside ours.
type Issuer struct {
	Name     string            `yaml:"name" doc:"Goes before its clients, as in corp:billing. Lower-case letters, digits and -."`
	Issuer   string            `yaml:"issuer" doc:"Its identifier, exactly as its tokens and metadata state it."`
	JWKSURI  string            `yaml:"jwks_uri" doc:"Where its keys are. Default: where its metadata says."`
	Audience string            `yaml:"audience" doc:"What its tokens for this API have as aud. Default: gateway.resource."`
	Tokens   string            `yaml:"tokens" enum:"rfc9068,jwt" doc:"rfc9068 (default): only tokens of type at+jwt. jwt: other access tokens too, with the client in azp, cid or appid and the scope in scp; ID tokens never."`
	Clients  map[string]string `yaml:"clients" doc:"Clients of it that are clients here, as in {their-id: cl_1}: they share limits and settings. Others are named NAME:their-id."`
	Scopes   map[string]string `yaml:"scopes" doc:"What its scopes mean here, as in {orders.read: read:orders}; others count for nothing. Empty: they are written alike."`
}

// Gateway is what stands in front of the API.
type Gateway struct {
	Resource  string              `yaml:"resource" doc:"Identifier of the API: audience of access tokens. Default: https:// and the first host of the first upstream." boot:"true"`
	Upstreams map[string]Upstream `yaml:"upstreams"`
	Routes    []Route             `yaml:"routes" doc:"First match wins. Declared here they are read-only elsewhere."`
	Enforce   policy.Enforce      `yaml:"enforce" enum:"off,shadow,on" doc:"Whether routes and scopes are enforced. Set here it is read-only elsewhere; left out, it is off until offkey routes enforce says otherwise."`
	Limits    Limits              `yaml:"limits"`
	// ScopeIncludes are the scopes that a broader one stands for too.
	ScopeIncludes map[string][]string `yaml:"scope_includes" doc:"Scopes that a broader one stands for too on every route, as in {manage:orders: [read:orders]}."`
	// PreflightOrigins matter once routes are enforced.
	PreflightOrigins []string `yaml:"preflight_origins" doc:"Origins whose CORS preflights pass without a credential once routes are enforced, and whose pages can read why offkey refuses a call, as in https://app.example.com."`
}

// Upstream is one API.
type Upstream struct {
	Hosts      []string       `yaml:"hosts" doc:"Host names that callers use for this API. Empty: every host."`
	URL        string         `yaml:"url" doc:"Where the API is."`
	Host       string         `yaml:"host" enum:"preserve,upstream" doc:"Which Host the API sees: the caller's (default), or the one of url."`
	TokenCall  string         `yaml:"token_call" enum:"headers,jwt,bearer,secret,apikey" doc:"What the API receives for a call with a token: identity headers (default), the same signed as a JWT for this call, the token itself, one shared secret, or the caller's own former apikey."`
	APIKeyCall string         `yaml:"apikey_call" enum:"original,drop,token" doc:"What the API receives for a call with a known apikey: the apikey (default), nothing but identity headers, or a token of the client that it is mapped to."`
	Secret     UpstreamSecret `yaml:"secret"`
	StripQuery bool           `yaml:"strip_query" doc:"Remove an apikey from the query before the API sees it, once it is mapped to a client."`
	CAFile     string         `yaml:"ca_file" doc:"PEM file of the certificate authority of the API."`
}

// UpstreamSecret is what token_call: secret sends.
type UpstreamSecret struct {
	In    string      `yaml:"in" doc:"Where it travels, as in header:X-API-Key."`
	Value secret.Text `yaml:"value" doc:"The secret, best as ${file:PATH}."`
}

// Route is one rule.
type Route struct {
	Match   string         `yaml:"match" doc:"Method and path pattern, as in GET /v1/orders/**."`
	Auth    string         `yaml:"auth" enum:"required,none" doc:"none: passes without a credential. Default: required."`
	Scopes  []string       `yaml:"scopes" doc:"Scopes that a token needs, all of them."`
	Enforce policy.Enforce `yaml:"enforce" enum:"off,shadow,on" doc:"For this route alone. Default: as gateway.enforce."`
	DPoP    string         `yaml:"dpop" enum:"required,optional" doc:"required: tokens must be bound to a DPoP key. Default: optional."`
	ACR     []string       `yaml:"acr" doc:"How the token's person must have signed in: one of these."`
	MaxAge  Duration       `yaml:"max_age" doc:"How long ago that may be, as in 10m."`
}

// Demands are what the route asks of a token beside its scopes.
func (r Route) Demands() policy.Demands {
	return policy.Demands{DPoP: r.DPoP == "required", ACR: r.ACR, MaxAge: int64(time.Duration(r.MaxAge) / time.Second)}
}

// Limits are rate limits, written as 100/s or 5/m.
type Limits struct {
	PerClient Rate `yaml:"per_client" doc:"Calls per client; an apikey shares the bucket of the client that it is mapped to. Empty: no limit."`
}

// APIKeys says where apikeys travel and who vouches for them.
type APIKeys struct {
	Where   []Place   `yaml:"where" doc:"Where apikeys travel, tried in this order."`
	KnownBy []KnownBy `yaml:"known_by" doc:"Who says that an apikey is real."`
	Probe   bool      `yaml:"probe" doc:"Ask the API itself, once per route and by GET or HEAD only, whether it refuses calls without an apikey and with a wrong one. Without it apikeys are learnt only where callers were seen to be refused."`
}

// Place is a carrier of apikeys.
type Place struct {
	In      string `yaml:"in" enum:"header,authorization,query,cookie,basic" doc:"Kind of place."`
	Name    string `yaml:"name" doc:"Name of the header, query parameter or cookie."`
	Scheme  string `yaml:"scheme" doc:"Authorization scheme, as in KEY."`
	Pattern string `yaml:"pattern" doc:"Regular expression that the value must match; tells apikeys sent as Bearer from tokens."`
}

// KnownBy is one source of truth about apikeys.
type KnownBy struct {
	Type        string `yaml:"type" enum:"upstream,imported,http,sql" doc:"upstream: learnt from the API's own answers. imported: brought in by an operator. http, sql: a service or a table is asked about those that nobody knows."`
	ValidUnless []int  `yaml:"valid_unless" doc:"upstream: answers by which the API says that an apikey is not valid. Default: 401."`
	// What follows is about http and sql.
	From    secret.Text `yaml:"from" doc:"http: URL that is asked by GET; 2xx is a yes, and may tell owner, label, contact and scopes as JSON; 401, 403, 404 and 410 are a no. sql: postgres://… or sqlite:///path, best as ${file:PATH}."`
	Header  string      `yaml:"header" doc:"http: the header that carries the apikey. Default: X-API-Key."`
	Query   string      `yaml:"query" doc:"sql: a query with one parameter, the apikey, as in select owner, email as contact from api_keys where key_hash = $1. A row is a yes, unless its column enabled says no."`
	Hashed  bool        `yaml:"hashed" doc:"Ask by SHA-256 of the apikey, in hex, instead of itself."`
	Keep    Duration    `yaml:"keep" doc:"How long a yes holds before it is asked for again. Default: 5m."`
	KeepNot Duration    `yaml:"keep_not" doc:"How long a no holds. Default: 1m."`
}

// Migration is the road.
type Migration struct {
	Stage    apikey.Stage `yaml:"stage" enum:"observe,warn,brownout,upgrade_only,retired" doc:"Stage of all apikeys that have none of their own. Set here it is read-only elsewhere; left out, it is observe until offkey stage set says otherwise."`
	Calendar Calendar     `yaml:"calendar"`
	Upgrade  string       `yaml:"upgrade" enum:"on,off" doc:"Whether callers may trade an apikey for a client."`
	Webhook  Webhook      `yaml:"webhook"`
	Docs     string       `yaml:"docs" doc:"Page about the move for callers; linked from headers and refusals. Default: the issuer's page /upgrade."`
}

// Webhook is who is told of what owners are told.
type Webhook struct {
	URL    string      `yaml:"url" doc:"Where what owners are told is posted too, as JSON with the signature of Standard Webhooks. Empty: nowhere."`
	Secret secret.Text `yaml:"secret" doc:"What the signature is made with: whsec_ and base64, or any text of 24 characters or more; best as ${file:PATH}."`
}

// Calendar are the announced dates.
type Calendar struct {
	Deprecated Date `yaml:"deprecated" doc:"Since when apikeys are deprecated."`
	Sunset     Date `yaml:"sunset" doc:"When apikeys stop working; not before deprecated."`
}

// Leaks is who may say that a credential has leaked, and what comes of it.
type Leaks struct {
	Report string `yaml:"report" enum:"off,tell,block" doc:"Reports from anybody, at /leaks of the issuer. tell: on record, and the owner is told. block: it is stopped too, which can be taken back. Default: off; apikeys that can be guessed could be stopped by whoever guesses."`
	GitHub string `yaml:"github" enum:"off,tell,block" doc:"Messages of GitHub's secret scanning, at /leaks/github of the issuer; likewise. Default: off."`
}

// Email is how the owners of apikeys are told what is made with them.
type Email struct {
	From     string   `yaml:"from" doc:"Sender of mail, as in offkey <offkey@example.com>. Needed with smtp."`
	ToAdmins []string `yaml:"to_admins" doc:"Who is told where an apikey has no contact. Needed with smtp."`
	SMTP     SMTP     `yaml:"smtp"`
}

// SMTP is the mail server that takes mail.
type SMTP struct {
	Host     string      `yaml:"host" doc:"Mail server. Empty: mail stays in the folder outbox of the data directory, as files."`
	Port     int         `yaml:"port" doc:"Default: 587, 465 for tls: implicit, 25 for tls: none."`
	User     string      `yaml:"user" doc:"Empty: the server asks for no password."`
	Password secret.Text `yaml:"password" doc:"Best as ${file:PATH}."`
	TLS      string      `yaml:"tls" enum:"starttls,implicit,none" doc:"starttls: over TLS after a greeting in the clear, or not at all. implicit: TLS from the first byte. none: for a relay on loopback, without a password."`
}

// Telemetry is what offkey says about itself.
type Telemetry struct {
	Logs   string `yaml:"logs" enum:"json,text" doc:"Form of log lines on standard error." boot:"true"`
	Level  string `yaml:"level" enum:"debug,info,warn,error" doc:"Least level logged." boot:"true"`
	Access bool   `yaml:"access" doc:"Log a line per call through the gateway, without secrets."`
}

// Client is a client declared in the file; read-only elsewhere.
type Client struct {
	ID            string      `yaml:"id" doc:"client_id"`
	Name          string      `yaml:"name" doc:"For people; default: the id."`
	Owner         string      `yaml:"owner" doc:"The customer or team that it belongs to."`
	Auth          string      `yaml:"auth" enum:"client_secret_basic,client_secret_post,private_key_jwt,tls_client_auth,self_signed_tls_client_auth,federated_jwt,none" doc:"token_endpoint_auth_method"`
	Secret        secret.Text `yaml:"secret" doc:"At least 32 characters; best as ${VAR}."`
	SecretFile    string      `yaml:"secret_file" doc:"File with the secret, instead."`
	JWKSFile      string      `yaml:"jwks_file" doc:"Public keys of private_key_jwt."`
	JWKSURI       string      `yaml:"jwks_uri" doc:"Where the public keys are fetched."`
	Scopes        []string    `yaml:"scopes" doc:"What it may ask for."`
	DefaultScopes []string    `yaml:"default_scopes" doc:"What it gets when it asks for nothing. Empty: a token without scope."`
	Grants        []string    `yaml:"grants" doc:"Default: client_credentials."`
	Audience      string      `yaml:"audience" enum:"strict,compat" doc:"strict (default): assertions name the issuer. compat: the token endpoint is accepted too."`
	Resources     []string    `yaml:"resources" doc:"Audiences it may ask for. Empty: gateway.resource."`

	Type             string   `yaml:"type" enum:"web,native" doc:"application_type; native may use loopback redirects. Default: web."`
	RedirectURIs     []string `yaml:"redirect_uris" doc:"Where authorization responses go, compared exactly."`
	PKCE             string   `yaml:"pkce" enum:"required,optional" doc:"optional: for a confidential OpenID Connect client that cannot. Default: required."`
	Profile          string   `yaml:"profile" enum:"fapi2" doc:"fapi2: held to the FAPI 2.0 Security Profile."`
	PAR              string   `yaml:"par" enum:"required,optional" doc:"required: authorization requests must be pushed. Default: optional."`
	RequestAlg       string   `yaml:"request_object_signing_alg" doc:"Authorization requests must be signed with it."`
	DPoPBound        bool     `yaml:"dpop_bound" doc:"Its tokens are bound to a DPoP key, always."`
	CertificateBound bool     `yaml:"certificate_bound" doc:"Its tokens are bound to its TLS certificate, always."`
	CertificateFile  string   `yaml:"certificate_file" doc:"PEM file with the certificate of self_signed_tls_client_auth."`
	TLSSubject       string   `yaml:"tls_subject" doc:"What the certificate of tls_client_auth must say: dn:CN=edge,O=Acme, dns:, uri:, ip: or email: before the value."`

	Exchange Exchange `yaml:"exchange"`

	IDTokenAlg             string   `yaml:"id_token_signed_response_alg" enum:"RS256,PS256,ES256,EdDSA" doc:"Algorithm of its ID tokens. Default: RS256."`
	SubjectType            string   `yaml:"subject_type" enum:"public,pairwise" doc:"pairwise: it sees a sub that no other client sees. Default: public."`
	SectorIdentifier       string   `yaml:"sector_identifier" doc:"Host that pairwise subjects are made for. Default: that of its redirect URIs."`
	PostLogoutRedirectURIs []string `yaml:"post_logout_redirect_uris" doc:"Where browsers may go after signing out."`
	BackchannelLogoutURI   string   `yaml:"backchannel_logout_uri" doc:"Told when a session ends."`
	InitiateLoginURI       string   `yaml:"initiate_login_uri" doc:"Where a sign-in that starts elsewhere is sent."`
	URI                    string   `yaml:"uri" doc:"Its home page, shown at consent."`
	LogoURI                string   `yaml:"logo_uri" doc:"Its logo, shown at consent."`
	PolicyURI              string   `yaml:"policy_uri" doc:"Its privacy policy, shown at consent."`
	TosURI                 string   `yaml:"tos_uri" doc:"Its terms, shown at consent."`
}

// Exchange is whose tokens a client may exchange for its own.
type Exchange struct {
	From      []string `yaml:"from" doc:"Clients whose tokens it may exchange (RFC 8693), its own id for lesser ones. Empty: nobody's."`
	Resources []string `yaml:"resources" doc:"Audiences of what it gets. Empty: its resources."`
	Act       string   `yaml:"act" enum:"optional,required,none" doc:"Who is named as acting: the subject of an actor_token or else this client (optional, the default), always that of an actor_token (required), nobody (none)."`
}

// Default is the configuration before any file is read.
func Default() Config {
	return Config{
		Listen: Listen{
			Gateway: "127.0.0.1:8484", Issuer: "127.0.0.1:8485",
			Admin: "127.0.0.1:8486", Ops: "127.0.0.1:8487",
		},
		TLS:     TLS{Mode: "none"},
		Storage: Storage{DSN: "sqlite://offkey-data/offkey.db"},
		Signing: Signing{
			Alg: jose.ES256, RotateEvery: Duration(30 * 24 * time.Hour),
			PublishAhead: Duration(24 * time.Hour), KeepAfter: Duration(24 * time.Hour),
		},
		Tokens: Tokens{
			Access:          AccessToken{TTL: Duration(15 * time.Minute)},
			Refresh:         RefreshToken{TTL: Duration(30 * 24 * time.Hour), Idle: Duration(14 * 24 * time.Hour)},
			ClientAssertion: ClientAssertion{MaxLife: Duration(5 * time.Minute)},
		},
		APIKeys: APIKeys{
			Where:   []Place{{In: "header", Name: "X-API-Key"}},
			KnownBy: []KnownBy{{Type: "upstream", ValidUnless: []int{401}}, {Type: "imported"}},
			Probe:   true,
		},
		Migration: Migration{Upgrade: "on"},
		Email:     Email{SMTP: SMTP{TLS: string(notify.StartTLS)}},
		Telemetry: Telemetry{Logs: "json", Level: "info"},
	}
}
