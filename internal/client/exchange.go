package client

import "slices"

// Exchange is whose tokens a client may exchange for its own, and for what
// (RFC 8693). The zero value allows nothing.
type Exchange struct {
	// From are the clients whose tokens it may bring. Its own id lets it trade
	// its tokens for lesser ones.
	From []string `json:"from,omitempty"`
	// Resources are what the results may be for; empty: what the client may ask
	// for anyway.
	Resources []string `json:"resources,omitempty"`
	// Act says who acts in the results.
	Act Acting `json:"act,omitempty"`
}

// Acting says who a result names as the one who acts for its subject (RFC 8693
// §1.1).
type Acting string

const (
	// ActOptional is the zero value: the actor of the actor_token, or else the
	// client that exchanges.
	ActOptional Acting = ""
	// ActRequired asks for an actor_token.
	ActRequired Acting = "required"
	// ActNone adds no actor: nobody can tell the result from a token that the
	// subject got itself (impersonation).
	ActNone Acting = "none"
)

// Takes reports whether tokens issued to a client may be brought.
func (e Exchange) Takes(clientID string) bool {
	return clientID != "" && slices.Contains(e.From, clientID)
}
