package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// pgConn is a connection to PostgreSQL, made when it is first needed and again
// when it was lost. A transaction is lost with it; a statement outside of one,
// which only reads, is run again.
type pgConn struct {
	config *pgconn.Config
	pg     *pgconn.PgConn
	held   map[string]*pgStatement
	// inside is true from a BEGIN to its end.
	inside bool
	queue  []pgCall // by later, not sent yet
}

// pgStatement is a statement that the connection has prepared.
type pgStatement struct {
	description *pgconn.StatementDescription
	formats     []int16 // of its results
}

// pgCall is a statement and what its question marks stand for.
type pgCall struct {
	statement *pgStatement
	values    [][]byte
}

func (c *pgConn) words() *dialect { return postgresWords }

func (c *pgConn) connect(ctx context.Context) error {
	pg, err := pgconn.ConnectConfig(ctx, c.config)
	if err != nil {
		return err
	}
	c.pg, c.held = pg, map[string]*pgStatement{}
	return nil
}

func (c *pgConn) close() error {
	if c.pg == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTime)
	defer cancel()
	pg := c.pg
	c.pg, c.queue, c.inside = nil, nil, false
	return pg.Close(ctx)
}

// drop closes a connection that cannot be relied on.
func (c *pgConn) drop() {
	if c.pg != nil {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // without a word to the other side, which may not listen
		_ = c.pg.Close(ended)
	}
	c.pg, c.held, c.queue = nil, nil, nil
}

// with runs do on a connection that is there.
func (c *pgConn) with(query string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), statementTime)
	defer cancel()
	begins, ends := strings.HasPrefix(query, "BEGIN"), query == "ROLLBACK" || query == "COMMIT"
	if query == "ROLLBACK" {
		c.queue = c.queue[:0] // what was not sent has not happened
	}
	for retried := false; ; retried = true {
		if c.pg == nil || c.pg.IsClosed() {
			if c.drop(); c.inside {
				if ends {
					c.inside = false
				}
				if query == "ROLLBACK" { // it is
					return nil
				}
				return errLost
			}
			if err := c.connect(ctx); err != nil {
				return err
			}
		}
		err := do(ctx)
		switch lost := err != nil && (c.pg.IsClosed() || isLost(err)); {
		case !lost:
			switch {
			case begins && err == nil:
				c.inside = true
			case ends:
				c.inside = false
			}
			return err
		case c.inside || retried || !onlyReads(query) && !begins && !pgconn.SafeToRetry(err):
			c.drop()
			c.inside = c.inside && !ends
			return errors.Join(errLost, err)
		}
		c.drop()
	}
}

// onlyReads reports whether a statement may be run twice for once.
func onlyReads(query string) bool {
	return strings.HasPrefix(query, "SELECT") || strings.HasPrefix(query, "SHOW")
}

// prepare has a statement prepared once.
func (c *pgConn) prepare(ctx context.Context, query string) (*pgStatement, error) {
	if s := c.held[query]; s != nil {
		return s, nil
	}
	if err := c.flush(ctx); err != nil {
		return nil, err
	}
	description, err := c.pg.Prepare(ctx, "s"+strconv.Itoa(len(c.held)), numberedMarks(query), nil)
	if err != nil {
		return nil, err
	}
	s := &pgStatement{description: description, formats: make([]int16, len(description.Fields))}
	for i, f := range description.Fields {
		if binaryResult(f.DataTypeOID) {
			s.formats[i] = binaryFormat
		}
	}
	c.held[query] = s
	return s, nil
}

func (c *pgConn) call(ctx context.Context, query string, a []any) (pgCall, error) {
	s, err := c.prepare(ctx, query)
	if err != nil {
		return pgCall{}, err
	}
	if len(a) != len(s.description.ParamOIDs) {
		return pgCall{}, fmt.Errorf("%d values for %d question marks", len(a), len(s.description.ParamOIDs))
	}
	values := make([][]byte, len(a))
	for i, v := range a {
		if values[i], err = encode(v, s.description.ParamOIDs[i]); err != nil {
			return pgCall{}, err
		}
	}
	return pgCall{s, values}, nil
}

// binaryFormat is numbers and bytes as they are, and not as text.
const binaryFormat int16 = 1

// binaryParams is the format of every value.
var binaryParams = []int16{binaryFormat}

// run sends what waits and the call, in one go, and reads the answer to the call.
func (c *pgConn) run(ctx context.Context, call pgCall) (*pgconn.Result, error) {
	if len(c.queue) == 0 {
		d := call.statement.description
		r := c.pg.ExecPrepared(ctx, d.Name, call.values, binaryParams, call.statement.formats).Read()
		return r, r.Err
	}
	c.queue = append(c.queue, call)
	return c.send(ctx)
}

// flush sends what waits.
func (c *pgConn) flush(ctx context.Context) error {
	if len(c.queue) == 0 {
		return nil
	}
	if _, err := c.send(ctx); err != nil {
		return errors.Join(errQueued, err)
	}
	return nil
}

// send sends the queue and returns the answer to the last of it, or the first
// error: what follows a statement that fails is not run. That of another than the
// last is errQueued.
func (c *pgConn) send(ctx context.Context) (last *pgconn.Result, err error) {
	p := c.pg.StartPipeline(ctx)
	waiting := len(c.queue)
	for _, q := range c.queue {
		p.SendQueryPrepared(q.statement.description.Name, q.values, binaryParams, q.statement.formats)
	}
	clear(c.queue)
	c.queue = c.queue[:0]
	if err := p.Sync(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	for synced := false; !synced; {
		var answer any
		answer, answerErr := p.GetResults()
		if r, ok := answer.(*pgconn.ResultReader); ok {
			last = r.Read()
			answerErr = last.Err
		}
		switch _, synced = answer.(*pgconn.PipelineSync); {
		case answerErr == nil:
			waiting--
		case err == nil && waiting > 1:
			err = errors.Join(errQueued, answerErr)
		case err == nil:
			err = answerErr
		}
		if c.pg.IsClosed() {
			break
		}
	}
	if closeErr := p.Close(); err == nil {
		err = closeErr
	}
	return last, err
}

func (c *pgConn) exec(query string, a ...any) (changed int64, err error) {
	err = c.with(query, func(ctx context.Context) error {
		call, err := c.call(ctx, query, a)
		if err != nil {
			return err
		}
		r, err := c.run(ctx, call)
		if err != nil {
			return err
		}
		if query == "COMMIT" && r.CommandTag.String() != query {
			return errors.New("a statement of the transaction had failed")
		}
		changed = r.CommandTag.RowsAffected()
		return nil
	})
	return changed, err
}

func (c *pgConn) later(query string, a ...any) error {
	return c.with(query, func(ctx context.Context) error {
		call, err := c.call(ctx, query, a)
		if err == nil {
			c.queue = append(c.queue, call)
		}
		return err
	})
}

func (c *pgConn) one(query string, a args, dest ...any) error {
	found := false
	err := c.each(query, a, func(scan func(...any) error) error {
		if found {
			return nil
		}
		found = true
		return scan(dest...)
	})
	if err == nil && !found {
		return sql.ErrNoRows
	}
	return err
}

// each has all rows before it calls read, which may use the connection.
func (c *pgConn) each(query string, a args, read func(scan func(...any) error) error) error {
	var r *pgconn.Result
	if err := c.with(query, func(ctx context.Context) error {
		call, err := c.call(ctx, query, a)
		if err != nil {
			return err
		}
		r, err = c.run(ctx, call)
		return err
	}); err != nil {
		return err
	}
	for _, row := range r.Rows {
		if err := read(func(dest ...any) error {
			if len(dest) != len(row) {
				return fmt.Errorf("%d values for %d columns", len(dest), len(row))
			}
			for i := range dest {
				if err := assign(dest[i], r.FieldDescriptions[i].DataTypeOID, row[i]); err != nil {
					return fmt.Errorf("column %s: %w", r.FieldDescriptions[i].Name, err)
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (c *pgConn) script(text string) error {
	return c.with(strings.TrimSpace(text), func(ctx context.Context) error {
		if err := c.flush(ctx); err != nil {
			return err
		}
		_, err := c.pg.Exec(ctx, text).ReadAll()
		return err
	})
}

// numberedMarks writes a statement's question marks as PostgreSQL has them. None of
// our texts has one in a string.
func numberedMarks(query string) string {
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(query, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		n++
		b.WriteString(part)
	}
	return b.String()
}

// The types that the schema and our expressions have.
const (
	oidBool  = 16
	oidBytea = 17
	oidInt8  = 20
	oidInt2  = 21
	oidInt4  = 23
	oidText  = 25
)

func binaryResult(oid uint32) bool {
	switch oid {
	case oidBool, oidBytea, oidInt8, oidInt2, oidInt4, oidText:
		return true
	}
	return false
}

// encode makes a value what a parameter of that type is sent as.
func encode(v any, oid uint32) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	r := reflect.ValueOf(v)
	switch kind := r.Kind(); {
	case kind == reflect.String:
		return []byte(storable(r.String())), nil
	case kind == reflect.Bool:
		return encodeNumber(int64(map[bool]int{true: 1}[r.Bool()]), oid)
	case r.CanInt():
		return encodeNumber(r.Int(), oid)
	case r.CanUint():
		return encodeNumber(int64(r.Uint()), oid)
	case kind == reflect.Slice && r.Type().Elem().Kind() == reflect.Uint8:
		if b := r.Bytes(); b != nil {
			return b, nil
		}
		return []byte{}, nil
	}
	return nil, fmt.Errorf("a value of type %T cannot be stored", v)
}

func encodeNumber(n int64, oid uint32) ([]byte, error) {
	switch oid {
	case oidInt8:
		return binary.BigEndian.AppendUint64(nil, uint64(n)), nil
	case oidInt4:
		return binary.BigEndian.AppendUint32(nil, uint32(n)), nil
	case oidBool:
		return []byte{byte(n & 1)}, nil
	}
	return nil, fmt.Errorf("a number for a value of type %d", oid)
}

// storable is text as PostgreSQL takes it: UTF-8 without NUL.
func storable(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\uFFFD"), "\uFFFD")
}

// decode reads a value: int64, string, []byte or, of NULL, nil.
func decode(oid uint32, raw []byte) (any, error) {
	if raw == nil {
		return nil, nil
	}
	switch oid {
	case oidBool:
		return int64(raw[0]), nil
	case oidInt2:
		return int64(int16(binary.BigEndian.Uint16(raw))), nil
	case oidInt4:
		return int64(int32(binary.BigEndian.Uint32(raw))), nil
	case oidInt8:
		return int64(binary.BigEndian.Uint64(raw)), nil
	case oidBytea:
		return raw, nil
	case 1700: // a sum
		return strconv.ParseInt(string(raw), 10, 64)
	}
	return string(raw), nil
}

// assign puts a value where dest points to.
func assign(dest any, oid uint32, raw []byte) error {
	v, err := decode(oid, raw)
	if err != nil {
		return err
	}
	if scanner, ok := dest.(sql.Scanner); ok {
		return scanner.Scan(v)
	}
	if to, ok := dest.(*any); ok {
		*to = v
		return nil
	}
	to := reflect.ValueOf(dest).Elem()
	switch v := v.(type) {
	case int64:
		switch {
		case to.CanInt():
			to.SetInt(v)
			return nil
		case to.CanUint():
			to.SetUint(uint64(v))
			return nil
		case to.Kind() == reflect.Bool:
			to.SetBool(v != 0)
			return nil
		}
	case string:
		switch {
		case to.Kind() == reflect.String:
			to.SetString(v)
			return nil
		case to.Kind() == reflect.Slice:
			to.SetBytes([]byte(v))
			return nil
		}
	case []byte:
		switch to.Kind() {
		case reflect.Slice:
			to.SetBytes(v)
			return nil
		case reflect.String:
			to.SetString(string(v))
			return nil
		}
	}
	return fmt.Errorf("a value of type %T for %T", v, dest)
}
