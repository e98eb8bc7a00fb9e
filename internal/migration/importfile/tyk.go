package importfile

import (
	"encoding/hex"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
)

// readTyk reads sessions: an object that has them by their apikeys, or a list in
// which each has its apikey beside it or in it. Where Tyk keeps hashes only, the
// ones of SHA-256 are taken.
func readTyk(documents []node, _ *Found, yield Yield) error {
	for _, d := range documents {
		for _, name := range []string{"keys", "data", "sessions"} {
			if list := d.get(name); list.kind == kindList || list.kind == kindMap && !isSession(d) && !hasTykKey(d) {
				d = list
				break
			}
		}
		if isSession(d) || hasTykKey(d) {
			if err := tykKey(d, "", yield); err != nil {
				return err
			}
			continue
		}
		for _, m := range d.members {
			if err := tykKey(m.node, m.name, yield); err != nil {
				return err
			}
		}
		for _, item := range d.list {
			if err := tykKey(item, "", yield); err != nil {
				return err
			}
		}
	}
	return nil
}

var tykNames = []string{"key", "key_id", "api_key", "token", "key_hash"}

func hasTykKey(n node) bool { return n.first(tykNames...) != "" }

func isSession(n node) bool {
	return n.get("access_rights").kind == kindMap || n.get("apply_policies").kind == kindList || n.get("org_id").kind == kindText && n.get("rate").kind == kindText
}

func tykKey(n node, name string, yield Yield) error {
	session := n
	for _, inner := range []string{"data", "session", "session_state"} {
		if n.get(inner).kind == kindMap {
			session = n.get(inner)
		}
	}
	if n.kind == kindText { // GET /tyk/keys lists them without what they may do
		return yield(Entry{Line: n.line, Key: n.text}, nil)
	}
	meta := session.get("meta_data")
	e := Entry{
		Line: n.line, Key: orElse(n.first("key", "key_id", "api_key", "token"), name), Label: session.first("alias"),
		Owner:    orElse(meta.first("owner", "customer", "company", "team", "tyk_developer_id"), session.first("alias")),
		Contact:  contactIn(meta.first("email", "mail", "contact"), session.first("alias")),
		Disabled: session.first("is_inactive") == "true",
		Created:  moment(session.first("date_created")), Expires: moment(session.first("expires")),
	}
	if hash := n.first("key_hash"); hash != "" && e.Key == name {
		e.Key = ""
		h, err := tykHash(hash)
		if err != nil {
			return yield(e, err)
		}
		e.Hash = h
	}
	if e.Key == "" && e.Hash == nil {
		return yield(e, unresolved("a session does not say whose it is: write it as {\"THE-APIKEY\": {…}}"))
	}
	return yield(e, nil)
}

// tykHash reads the hash under which Tyk keeps a session. By default that is a
// murmur, which is made for tables and not for secrets.
func tykHash(text string) (*apikey.Hashed, error) {
	raw, err := hex.DecodeString(strings.ToLower(text))
	if err != nil || len(raw) != apikey.DigestSize("sha256") {
		return nil, unresolvedHash(errForgeable)
	}
	return &apikey.Hashed{Scheme: "sha256", Sum: raw}, nil
}
