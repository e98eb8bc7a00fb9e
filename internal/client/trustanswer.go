package client

// Presented is a token of another issuer, as it came.
type Presented struct {
	Token string
	For   string // what it is to stand for: TrustClient and so on
	// ClientID is the client that the request names beside it, "" for none.
	ClientID string
}

// Identified is a token of another issuer that a rule lets stand for something.
type Identified struct {
	Rule  TrustRule
	Token ForeignToken
}

// The causes of a TrustFailure, for counting and for choosing an answer.
const (
	TrustUnproved = "unproved"      // unknown issuer, wrong signature, no rule that fits
	TrustShape    = "malformed"     // cannot be read
	TrustAudience = "audience"      // not for us
	TrustClock    = "clock"         // expired, or from the future
	TrustLifetime = "lifetime"      // too old
	TrustReplayed = "replayed"      // its jti came before
	TrustKeys     = "keys"          // the issuer's keys cannot be had
	TrustChoice   = "several rules" // of different clients
)

// TrustFailure is why a token of another issuer stands for nothing.
type TrustFailure struct {
	Cause       string
	Description string // for the developer of the client: says nothing about rules
	Err         error  // for our log
}

func (f *TrustFailure) Error() string {
	if f.Err == nil {
		return f.Cause + ": " + f.Description
	}
	return f.Cause + ": " + f.Description + ": " + f.Err.Error()
}

func (f *TrustFailure) Unwrap() error { return f.Err }

// Examined is what becomes of a token, rule by rule, for whoever keeps the
// rules.
type Examined struct {
	Issuer    string         `json:"issuer"`
	Subject   string         `json:"subject"`
	Matched   string         `json:"matched,omitempty"` // the id of the rule that would be used
	ClientID  string         `json:"client_id,omitempty"`
	Reason    string         `json:"reason,omitempty"` // why none would be
	Rules     []ExaminedRule `json:"rules"`
	Signature bool           `json:"signature"` // by a key of the issuer
}

// ExaminedRule is one rule, held against a token.
type ExaminedRule struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	ClientID string    `json:"client_id,omitempty"`
	Matches  bool      `json:"matches"`
	Findings []Finding `json:"conditions"`
}
