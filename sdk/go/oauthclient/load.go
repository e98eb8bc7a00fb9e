package oauthclient

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ClientFile is the name of the file that describes a client, in a folder of
// its own beside the key.
const ClientFile = "client.json"

// Client is what `offkey upgrade` writes to client.json. It holds no secret.
type Client struct {
	ClientID string `json:"client_id"`
	Issuer   string `json:"issuer"`
	// TokenURL is the issuer's token endpoint as found when registering.
	TokenURL string `json:"token_endpoint"`
	// Resource is what the API calls itself, API where it was found.
	Resource string   `json:"resource"`
	API      string   `json:"api"`
	Scopes   []string `json:"scopes"`
	// KeyFile is relative to the folder, unless it is absolute.
	KeyFile      string    `json:"key_file"`
	KeyID        string    `json:"kid"`
	Algorithm    string    `json:"alg"`
	RegisteredAt time.Time `json:"registered_at"`
	// Pending is set while the API's operator has not approved the client, and
	// PendingScopes holds those that wait; `offkey upgrade` asks again.
	Pending       bool     `json:"pending,omitempty"`
	PendingScopes []string `json:"pending_scopes,omitempty"`
	// ReplacedBy names the client that `offkey upgrade --again` made in place
	// of this one.
	ReplacedBy string `json:"replaced_by,omitempty"`

	// Dir is the folder it was read from.
	Dir string `json:"-"`
}

// Load returns the client that `offkey upgrade` has put into dir: a client's
// own folder, or one of such folders with a single client in use. The empty
// dir means [DefaultDir].
func Load(dir string) (*Config, error) {
	client, err := LoadClient(dir, "")
	if err != nil {
		return nil, err
	}
	return client.Config(), nil
}

// DefaultDir is where callers keep their clients: OFFKEY_DIR, else the folder
// offkey in XDG_CONFIG_HOME or what stands for it on this system.
func DefaultDir() (string, error) {
	if dir := os.Getenv("OFFKEY_DIR"); dir != "" {
		return dir, nil
	}
	base := os.Getenv("XDG_CONFIG_HOME")
	if base == "" {
		var err error
		if base, err = os.UserConfigDir(); err != nil {
			return "", &Error{Doing: "find the folder of clients", Code: "no_client", Message: err.Error(), Err: err, Fix: "set OFFKEY_DIR to a folder"}
		}
	}
	return filepath.Join(base, "offkey"), nil
}

// LoadClient finds the client of the given id in dir (see [Load]); with the
// empty id, the one in use.
func LoadClient(dir, clientID string) (*Client, error) {
	if dir == "" {
		var err error
		if dir, err = DefaultDir(); err != nil {
			return nil, err
		}
	}
	if client, err := readClient(dir); err == nil {
		if clientID == "" || client.ClientID == clientID {
			return client, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	clients, err := ListClients(dir)
	if err != nil {
		return nil, err
	}
	return choose(clients, dir, clientID)
}

func choose(clients []*Client, dir, clientID string) (*Client, error) {
	doing := "find the client"
	var ids []string
	var chosen []*Client
	for _, client := range clients {
		ids = append(ids, client.ClientID)
		if clientID == "" && client.ReplacedBy == "" || clientID != "" && client.ClientID == clientID {
			chosen = append(chosen, client)
		}
	}
	switch {
	case len(clients) == 0:
		return nil, &Error{Doing: doing, Code: "no_client", Err: fs.ErrNotExist, Message: "there is no client in " + dir,
			Fix: "run `offkey upgrade --api URL` first (a person: `offkey login --api URL`), or name the folder that it wrote"}
	case len(chosen) == 0 && clientID != "":
		return nil, &Error{Doing: doing, Code: "no_client", Err: fs.ErrNotExist, Message: fmt.Sprintf("there is no client %q in %s", printable(clientID), dir),
			Fix: "name one of: " + strings.Join(ids, ", ")}
	case len(chosen) != 1:
		return nil, &Error{Doing: doing, Code: "no_client", Message: fmt.Sprintf("there are %d clients in %s", len(clients), dir),
			Fix: "name one of: " + strings.Join(ids, ", ")}
	}
	return chosen[0], nil
}

// ListClients reads all clients whose folders are in dir, replaced ones too.
func ListClients(dir string) ([]*Client, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Error{Doing: "read the clients", Code: "no_client", Message: fmt.Sprintf("%s cannot be read: %s", dir, pathCause(err)), Err: err, Fix: "run as the user who owns it"}
	}
	var clients []*Client
	for _, entry := range entries {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		client, err := readClient(filepath.Join(dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

// readClient reads one client's folder. Members that it does not know are left
// alone: a later version may have written them.
func readClient(dir string) (*Client, error) {
	path := filepath.Join(dir, ClientFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{Doing: "read " + path, Code: "no_client", Message: pathCause(err), Err: err, Fix: "run `offkey upgrade` first, or as the user who owns it"}
	}
	client := &Client{Dir: dir}
	if err := json.Unmarshal(data, client); err != nil {
		return nil, &Error{Doing: "read " + path, Code: "bad_config", Message: "it is not the JSON that `offkey upgrade` writes: " + printable(err.Error()), Fix: "restore it, or run `offkey upgrade` anew in another folder"}
	}
	for name, value := range map[string]string{"client_id": client.ClientID, "issuer": client.Issuer, "key_file": client.KeyFile} {
		if value == "" {
			return nil, &Error{Doing: "read " + path, Code: "bad_config", Message: "it has no " + name, Fix: "restore it, or run `offkey upgrade` anew in another folder"}
		}
	}
	return client, nil
}

// KeyPath is the path of the private key.
func (c *Client) KeyPath() string {
	if filepath.IsAbs(c.KeyFile) {
		return c.KeyFile
	}
	return filepath.Join(c.Dir, c.KeyFile)
}

// Config is what makes tokens for the client: all its scopes, for its API.
func (c *Client) Config() *Config {
	config := &Config{
		Issuer: c.Issuer, TokenURL: c.TokenURL, ClientID: c.ClientID,
		KeyFile: c.KeyPath(), KeyID: c.KeyID, Algorithm: c.Algorithm, AuthMethod: PrivateKeyJWT,
		Scopes: c.Scopes, Resource: cmp.Or(c.Resource, c.API),
	}
	if c.API != "" && c.API != c.Resource {
		config.Origins = []string{c.API}
	}
	return config
}

// pathCause is what went wrong with a file, without its path, which the message
// around it names already.
func pathCause(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}
