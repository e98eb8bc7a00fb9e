package traffic

import "time"

// Filter chooses recorded rows. Its zero value takes all.
type Filter struct {
	From, To   time.Time   // hours that start at From or later and before To; zero is no bound
	Credential *Credential // nil is any
}
