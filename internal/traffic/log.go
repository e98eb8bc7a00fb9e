package traffic

import (
	"encoding/json"
	"errors"
	"time"
)

// Kept is how long rows are kept.
const Kept = 90 * 24 * time.Hour

// LogPosition is how far an access log has been read. A log is told by how it
// begins, so that one that was renamed or packed is the same, and one that was
// begun anew under the name is another.
type LogPosition struct {
	ID     string // hash of the first Head bytes
	Start  string // hash of the first line
	Head   int64
	Name   string // under which it was read last
	Format string

	Offset  int64 // bytes read
	Line    int64 // lines read
	Before  int64 // how many bytes before Offset Mark is of
	Mark    string
	Batches int64           // how often the position has moved
	Report  json.RawMessage // on all lines up to here
}

// ErrLogMoved is the error of a batch that does not begin where the one before
// it ended: somebody else has read on.
var ErrLogMoved = errors.New("the log has been read further by somebody else")
