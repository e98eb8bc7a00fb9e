package lean

import (
	"errors"
	"io"
	"strconv"
	"sync"
	"time"
)

// upload sends the body of a request, in a goroutine of its own: the API may
// answer before it has read everything, or while it reads.
type upload struct {
	conn    *conn
	from    io.Reader
	left    int64 // -1: in chunks
	timeout time.Duration
	done    chan struct{}

	mu       sync.Mutex
	stopped  bool  // the caller's body may not be read any more
	complete bool  // everything was sent
	head     bool  // the answer has begun
	err      error // the caller's
}

func newUpload(call *Call, cn *conn, timeout time.Duration) *upload {
	return &upload{conn: cn, from: call.body, left: call.length, timeout: timeout, done: make(chan struct{})}
}

// Room for the frame of a chunk around what is read.
const (
	chunkSize  = len("ffff\r\n")
	chunkEnd   = len("\r\n")
	lastChunk  = "0\r\n\r\n"
	uploadRoom = 32 << 10
)

var uploadBuffers = sync.Pool{New: func() any { return new([uploadRoom]byte) }}

var errShortBody = errors.New("the body of the request is shorter than it says")

func (u *upload) run() {
	defer close(u.done)
	room := uploadBuffers.Get().(*[uploadRoom]byte)
	defer uploadBuffers.Put(room)
	into := room[chunkSize : uploadRoom-chunkEnd-len(lastChunk)]
	for !u.isStopped() {
		n, err := u.from.Read(into)
		if out := u.frame(room, n, err == io.EOF); len(out) > 0 && !u.isStopped() {
			if _, writeErr := u.conn.Write(out); writeErr != nil && (err == nil || err == io.EOF) {
				return // what the API has said of it is to be read yet
			}
		}
		switch {
		case err != nil && err != io.EOF:
			u.fail(err)
			return
		case u.left == 0, u.left < 0 && err == io.EOF:
			u.finish()
			return
		case err == io.EOF:
			u.fail(errShortBody)
			return
		}
	}
}

// frame returns what is to be sent of n bytes that were read.
func (u *upload) frame(room *[uploadRoom]byte, n int, last bool) []byte {
	if u.left >= 0 {
		n = min(n, int(min(u.left, uploadRoom)))
		u.left -= int64(n)
		return room[chunkSize : chunkSize+n]
	}
	start, end := chunkSize, chunkSize
	if n > 0 {
		end += n + copy(room[chunkSize+n:], "\r\n")
		var size [chunkSize]byte
		line := append(strconv.AppendInt(size[:0], int64(n), 16), "\r\n"...)
		start -= len(line)
		copy(room[start:], line)
	}
	if last {
		end += copy(room[end:], lastChunk)
	}
	return room[start:end]
}

func (u *upload) isStopped() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stopped
}

// fail ends the call, because its caller broke off.
func (u *upload) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.stopped {
		u.err = err
		u.conn.abort()
	}
}

// finish starts to wait for an answer, which may have begun.
func (u *upload) finish() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.complete = true
	if u.timeout > 0 && !u.head && !u.stopped {
		_ = u.conn.SetReadDeadline(time.Now().Add(u.timeout))
	}
}

// answered says that the answer has begun. As all that follow it may be asked of
// no upload at all.
func (u *upload) answered() {
	if u == nil {
		return
	}
	u.mu.Lock()
	u.head = true
	u.mu.Unlock()
}

// callersError is why the caller's body could not be read, nil if that is not it.
func (u *upload) callersError() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// doneSoon is how long an answer that has ended waits for its request to end, as
// long as http.Transport has it: then the connection is closed.
const doneSoon = 50 * time.Millisecond

// isDone reports whether everything was sent, so that another request may follow.
func (u *upload) isDone() bool {
	if u == nil {
		return true
	}
	select {
	case <-u.done:
	default:
		late := time.NewTimer(doneSoon)
		defer late.Stop()
		select {
		case <-u.done:
		case <-late.C:
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.complete
}

// end stops reading from the caller.
func (u *upload) end() {
	if u == nil {
		return
	}
	u.mu.Lock()
	u.stopped = true
	u.mu.Unlock()
}
