package apikey

// Telling is one thing that the owner of an apikey is told once: an occasion, as
// in "warn" or "end:7:2027-09-30", for each program that sends the apikey; ""
// is the apikey as a whole, where nobody is seen with it.
type Telling struct {
	APIKeyID string `json:"apikey_id"`
	Program  string `json:"program,omitempty"`
	Occasion string `json:"occasion"`
}
