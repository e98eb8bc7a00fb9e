package client

// Filter chooses the clients of a list. Its zero value takes all, a page at a
// time.
type Filter struct {
	Owner  string // "" is any
	Status Status // "" is any
	Limit  int    // the most that one page holds; 0 is a hundred
	After  string // the cursor that the page before gave, "" for the first
}
