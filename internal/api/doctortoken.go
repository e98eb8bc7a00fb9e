package api

// tokenCalls says when an API that understands apikeys only gets none for calls
// with a token: what its callers see is a 401 of the API itself.
func (x *examination) tokenCalls(u DoctorUpstream) {
	if !u.WantsAPIKey || x.o.Ruleset().EnforcesEverywhere() {
		return
	}
	x.warning("token calls to "+u.Name,
		"see who would be refused with `offkey plan observe --enforce on`, then run `offkey routes enforce on`; no route or client may have a laxer setting of its own",
		"%s is to get the caller's apikey back for calls with a token, and gets none: it opens everything, so it is sent only while all scopes are enforced", u.Name)
}
