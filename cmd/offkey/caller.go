package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// identityFlags say who is calling: a client that upgrade has put into a
// folder, or any client of any issuer.
type identityFlags struct {
	Client     string `env:"OFFKEY_CLIENT" placeholder:"ID" help:"Client id; needed where the folder holds several, and with --issuer."`
	Issuer     string `placeholder:"URL" help:"An issuer of your own choice, with --client and --keyfile or --secret-file."`
	TokenURL   string `name:"token-url" placeholder:"URL" help:"Its token endpoint, if it is not to be discovered."`
	Keyfile    string `type:"path" placeholder:"FILE" help:"Private key (PEM) of the client."`
	KeyID      string `name:"key-id" placeholder:"KID" help:"Its kid, if that is not the thumbprint."`
	Alg        string `placeholder:"ALG" help:"ES256, EdDSA, PS256 or RS256; default by the key."`
	SecretFile string `name:"secret-file" type:"path" placeholder:"FILE" help:"File with the client's secret, instead of a key."`
	Auth       string `placeholder:"METHOD" help:"private_key_jwt, client_secret_basic, client_secret_post, tls_client_auth or self_signed_tls_client_auth; default by what is given."`
	DPoP       bool   `name:"dpop" help:"Have tokens bound to a key of this machine, so that nobody else can use them (RFC 9449). The key is made once, beside the tokens."`
	Cert       string `type:"path" placeholder:"FILE" help:"Client certificate (PEM) to connect with, and to prove the client by where --auth says so."`
	CertKey    string `name:"cert-key" type:"path" placeholder:"FILE" help:"Its private key (PEM). Default: in the same file."`
	Audience   string `placeholder:"AUD" help:"Audience of assertions; default the issuer."`
	Dir        string `env:"OFFKEY_DIR" type:"path" placeholder:"DIR" help:"Folder of the caller's clients; default: offkey in the configuration folder."`
}

// config is the client that the flags name, with all its scopes, and the folder
// in which its tokens may be kept.
func (f identityFlags) config(t *terminal) (config *oauthclient.Config, dir string, err error) {
	if dir, err = f.folder(); err != nil {
		return nil, "", err
	}
	if f.Issuer == "" && f.TokenURL == "" {
		if given := f.onlyWithIssuer(); given != "" {
			return nil, "", wrongUsage(given+" needs --issuer", "add --issuer URL and --client ID, or leave "+given+" out to use the client in "+dir)
		}
		client, err := oauthclient.LoadClient(dir, f.Client)
		if err != nil {
			return nil, "", err
		}
		config = client.Config()
		config.UserAgent = userAgent()
		return config, dir, f.bind(config, dir)
	}
	switch {
	case f.Client == "":
		return nil, "", wrongUsage("--issuer needs --client", "add --client ID, as the issuer registered it")
	case f.byCertificate() && (f.Keyfile != "" || f.SecretFile != ""):
		return nil, "", wrongUsage("--auth "+f.Auth+" proves the client by --cert alone", "leave out --keyfile and --secret-file")
	case !f.byCertificate() && (f.Keyfile == "") == (f.SecretFile == ""):
		return nil, "", wrongUsage("--issuer needs one of --keyfile and --secret-file", "add the one that the client proves itself with")
	}
	config = &oauthclient.Config{
		Issuer: f.Issuer, TokenURL: f.TokenURL, ClientID: f.Client, KeyFile: f.Keyfile, KeyID: f.KeyID,
		Algorithm: f.Alg, AuthMethod: oauthclient.AuthMethod(f.Auth), Audience: f.Audience, UserAgent: userAgent(),
	}
	if f.SecretFile != "" {
		secret, err := t.readSecretFile(f.SecretFile)
		if err != nil {
			return nil, "", err
		}
		config.Secret = oauthclient.Secret(secret)
	}
	return config, dir, f.bind(config, dir)
}

func (f identityFlags) folder() (string, error) {
	if f.Dir != "" {
		return f.Dir, nil
	}
	return oauthclient.DefaultDir()
}

func (f identityFlags) onlyWithIssuer() string {
	for _, given := range []struct{ name, value string }{
		{"--keyfile", f.Keyfile}, {"--secret-file", f.SecretFile}, {"--key-id", f.KeyID}, {"--alg", f.Alg}, {"--auth", f.Auth}, {"--audience", f.Audience},
	} {
		if given.value != "" {
			return given.name
		}
	}
	return ""
}

// arguments writes the flags as a person would, for a command to copy.
func (f identityFlags) arguments() string {
	var b strings.Builder
	for _, given := range []struct{ name, value string }{
		{"--issuer", f.Issuer}, {"--client", f.Client}, {"--keyfile", f.Keyfile}, {"--key-id", f.KeyID}, {"--alg", f.Alg}, {"--audience", f.Audience}, {"--cert", f.Cert}, {"--cert-key", f.CertKey}, {"--dir", f.Dir},
	} {
		if given.value != "" {
			fmt.Fprintf(&b, " %s %s", given.name, shellQuote(given.value))
		}
	}
	return b.String()
}

// secretLimit bounds what is read of a secret or an apikey.
const secretLimit = 8 << 10

// readSecretFile reads a file that holds a secret and nothing else. One that
// others can read has been so before: it is said, not refused.
func (t *terminal) readSecretFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", wrongUsage("the file "+path+" cannot be read: "+fileCause(err), "check the path and its permissions")
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() && info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
		return "", wrongUsage(path+" is not a file", "give a file that holds the secret alone")
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode.IsRegular() && mode.Perm()&0o007 != 0 {
		t.warn("other users of this machine can read %s (mode %04o): chmod 600 %s", path, mode.Perm(), shellQuote(path))
	}
	return readSecret(file, path)
}

// readSecret reads one line.
func readSecret(r io.Reader, from string) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, secretLimit+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", from, err)
	}
	secret := strings.TrimRight(string(raw), "\r\n")
	switch {
	case secret == "":
		return "", wrongUsage(from+" is empty", "write the secret into it, alone on its line")
	case len(raw) > secretLimit || strings.ContainsAny(secret, "\r\n"):
		return "", wrongUsage(from+" holds more than one line", "leave the secret alone in it")
	}
	return secret, nil
}

func fileCause(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// clientAlgorithm reads --alg for a new key.
func clientAlgorithm(name string) (jose.Algorithm, error) {
	for _, alg := range jose.ClientAlgorithms {
		if strings.EqualFold(name, string(alg)) {
			return alg, nil
		}
	}
	return "", wrongUsage(fmt.Sprintf("%q is not an algorithm of keys made here", name), "use ES256 or EdDSA; PS256 and RS256 only for an issuer that knows no other")
}

// folderName is where a client's files go: its id where that is a harmless name
// on every system, else a digest of it.
func folderName(clientID string) string {
	if regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`).MatchString(clientID) {
		return clientID
	}
	sum := sha256.Sum256([]byte(clientID))
	return "client-" + hex.EncodeToString(sum[:8])
}

// clientsOf are the clients in use for an API.
func clientsOf(root, api string) ([]*oauthclient.Client, error) {
	all, err := oauthclient.ListClients(root)
	if err != nil {
		return nil, err
	}
	var found []*oauthclient.Client
	for _, client := range all {
		if client.ReplacedBy == "" && (plainURL(client.API) == plainURL(api) || plainURL(client.Resource) == plainURL(api)) {
			found = append(found, client)
		}
	}
	return found, nil
}

// plainURL makes the usual spellings of one API's URL equal.
func plainURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host) + strings.TrimSuffix(u.EscapedPath(), "/")
}

// settle turns the pending folder into the client's own: the description goes
// in first, then one rename makes it a client.
func settle(root, pending string, client *oauthclient.Client, former []*oauthclient.Client) error {
	if client.Scopes == nil {
		client.Scopes = []string{}
	}
	if err := writeJSONFile(filepath.Join(pending, oauthclient.ClientFile), client); err != nil {
		return err
	}
	name := folderName(client.ClientID)
	for n := 2; ; n++ {
		client.Dir = filepath.Join(root, name)
		if _, err := os.Lstat(client.Dir); errors.Is(err, fs.ErrNotExist) {
			break
		}
		name = fmt.Sprintf("%s-%d", folderName(client.ClientID), n)
	}
	if err := os.Rename(pending, client.Dir); err != nil {
		return unwritable(client.Dir, err)
	}
	for _, old := range former {
		old.ReplacedBy = client.ClientID
		if err := writeJSONFile(filepath.Join(old.Dir, oauthclient.ClientFile), old); err != nil {
			return err
		}
	}
	return nil
}

// writeFile replaces a file at once and whole, for the owner alone, and has it
// on disk before it returns.
func writeFile(path string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return unwritable(filepath.Dir(path), err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return unwritable(path, err)
	}
	return nil
}

// writeJSONFile is writeFile for a document that people may read.
func writeJSONFile(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return writeFile(path, append(data, '\n'))
}

// makeFolder makes a folder for the owner alone.
func makeFolder(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return unwritable(path, err)
	}
	return nil
}

func unwritable(path string, err error) error {
	return failed("not_writable", fmt.Sprintf("cannot write %s: %s", path, fileCause(err)), "choose another folder with --dir, or make this one writable", err)
}
