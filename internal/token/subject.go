package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/offkey/offkey/internal/client"
)

// Subjects says under which sub a client knows a person. Safe for concurrent
// use.
type Subjects struct{ key []byte }

// NewSubjects makes Subjects whose pairwise ones cannot be told without key. With
// another key every one of them is another.
func NewSubjects(key []byte) Subjects { return Subjects{key} }

// Of is the person's id, or for a client with pairwise subjects a name that no
// client of another sector sees (OIDC Core §8.1). It never meets the id of a
// client.
func (s Subjects) Of(c *client.Client, personID string) string {
	if c.SubjectType != client.SubjectPairwise {
		return personID
	}
	return "pw_" + s.of(c.Sector(), personID)
}

// Session is the sid under which the client knows a session: for a client with
// pairwise subjects one that no client of another sector sees.
func (s Subjects) Session(c *client.Client, id string) string {
	if id == "" || c.SubjectType != client.SubjectPairwise {
		return id
	}
	return "ps_" + s.of(c.Sector(), id)
}

// of is for a sector; ids of people and of sessions begin otherwise.
func (s Subjects) of(sector, id string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(binary.AppendUvarint(nil, uint64(len(sector)))) // so that no two pairs share their bytes
	mac.Write([]byte(sector))
	mac.Write([]byte(id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
