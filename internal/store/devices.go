package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/secret"
	sessions "github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

const deviceColumns = `code, id, user_code, client_id, asked, created, expires, pause, polled, answer`

// StartDevice adds a device. It returns sessions.ErrUserCode where a device that
// is still known has the same user code, and sessions.ErrManyDevices where as
// many as limits say wait at now. Nothing is audited: strangers may do this.
func (db *DB) StartDevice(ctx context.Context, d sessions.Device, limits sessions.DeviceLimits, now time.Time) error {
	row, err := deviceRow(d)
	if err != nil {
		return err
	}
	return db.change(ctx, func(x *tx) error {
		var ofClient, all int
		if err := x.one(`SELECT count(*) FROM device WHERE client_id = ? AND expires > ?`, args{d.ClientID, micros(now)}, &ofClient); err != nil {
			return err
		}
		if err := x.one(`SELECT count(*) FROM device WHERE expires > ?`, args{micros(now)}, &all); err != nil {
			return err
		}
		if ofClient >= limits.PerClient || all >= limits.All {
			return fmt.Errorf("%w: %d of %s, %d in all", sessions.ErrManyDevices, ofClient, d.ClientID, all)
		}
		n, err := x.exec(`INSERT INTO device (`+deviceColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, row...)
		if err == nil && n == 0 {
			err = sessions.ErrUserCode
		}
		return err
	})
}

// Device returns the device with that device_code, answered or not, or
// sessions.ErrNoDevice.
func (db *DB) Device(ctx context.Context, code secret.Hash) (d sessions.Device, err error) {
	err = db.view(ctx, func(s *session) error {
		d, err = s.device(code)
		return err
	})
	return d, err
}

// WaitingDevice returns the device with that user code, as sessions.ReadUserCode
// gives it, if it waits for an answer at now; else sessions.ErrNoDevice.
func (db *DB) WaitingDevice(ctx context.Context, userCode string, now time.Time) (d sessions.Device, err error) {
	err = db.view(ctx, func(s *session) error {
		d, err = s.oneDevice(`SELECT `+deviceColumns+` FROM device WHERE user_code = ?`, userCode)
		return err
	})
	if err == nil && (d.Answer != nil || d.Expired(now)) {
		return sessions.Device{}, sessions.ErrNoDevice
	}
	return d, err
}

// AnswerDevice keeps what a person said of a device, by its Code. The first
// answer stands: sessions.ErrNoDevice if the device waits no more. One that was
// allowed something gets time to ask for it.
func (db *DB) AnswerDevice(ctx context.Context, code secret.Hash, a sessions.Answer, e audit.Event) error {
	answer, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("answer of a device: %w", err)
	}
	return db.change(ctx, func(x *tx) error {
		d, err := x.device(code)
		switch {
		case err != nil:
			return err
		case d.Answer != nil || d.Expired(a.At):
			return sessions.ErrNoDevice
		}
		if _, err := x.exec(`UPDATE device SET answer = ?, expires = ? WHERE code = ?`, string(answer), micros(d.Until(a)), code[:]); err != nil {
			return err
		}
		return x.record(e)
	})
}

// PollDevice notes that a device without an answer asked at now, and reports
// whether it asked too soon.
func (db *DB) PollDevice(ctx context.Context, code secret.Hash, now time.Time) (tooSoon bool, err error) {
	err = db.change(ctx, func(x *tx) error {
		d, err := x.device(code)
		if err != nil {
			return err
		}
		var changed bool
		if tooSoon, changed = d.Poll(now); !changed {
			return nil
		}
		_, err = x.exec(`UPDATE device SET pause = ?, polled = ? WHERE code = ?`, d.Interval.Microseconds(), micros(d.Polled), code[:])
		return err
	})
	return tooSoon, err
}

// RedeemDevice takes out a device that was allowed something, in one step: of
// any number that arrive together one gets it, the others sessions.ErrNoDevice.
// So it is where person or client were revoked since.
func (db *DB) RedeemDevice(ctx context.Context, code secret.Hash, now time.Time) (d sessions.Device, err error) {
	err = db.change(ctx, func(x *tx) error {
		if d, err = x.device(code); err != nil {
			return err
		}
		if !d.Answer.Allowed() || d.Expired(now) {
			return sessions.ErrNoDevice
		}
		if revoked, err := x.isRevoked(allowedBy(d)); err != nil || revoked {
			return errors.Join(err, sessions.ErrNoDevice)
		}
		_, err := x.exec(`DELETE FROM device WHERE code = ?`, code[:])
		return err
	})
	if err != nil {
		return sessions.Device{}, err
	}
	return d, nil
}

// allowedBy is what a person allowed a device.
func allowedBy(d sessions.Device) token.Grant {
	return token.Grant{ID: d.ID, ClientID: d.ClientID, Login: token.Login{PersonID: d.Answer.PersonID}, Created: d.Answer.At}
}

// cleanDevices forgets up to limit devices that are no longer known at now.
func (x *tx) cleanDevices(now time.Time, limit int) (int64, error) {
	return x.exec(`DELETE FROM device WHERE code IN (SELECT code FROM device WHERE expires < ? ORDER BY expires LIMIT ?)`,
		micros(now.Add(-sessions.DeviceKept)), limit)
}

// askedOfDevice is the column asked.
type askedOfDevice struct {
	Ask    sessions.Ask     `json:"ask"`
	Bound  sessions.Binding `json:"bound,omitzero"`
	Origin sessions.Origin  `json:"origin"`
}

func deviceRow(d sessions.Device) (args, error) {
	if d.ID == "" || d.Code.IsZero() || d.UserCode == "" || d.ClientID == "" {
		return nil, errors.New("device without id, codes or client")
	}
	asked, err := json.Marshal(askedOfDevice{d.Ask, d.Bound, d.Origin})
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", d.ID, err)
	}
	answer := []byte{}
	if d.Answer != nil {
		if answer, err = json.Marshal(d.Answer); err != nil {
			return nil, fmt.Errorf("device %s: %w", d.ID, err)
		}
	}
	return args{d.Code[:], d.ID, d.UserCode, d.ClientID, string(asked), micros(d.Created), micros(d.Expires), d.Interval.Microseconds(), micros(d.Polled), string(answer)}, nil
}

func (s *session) device(code secret.Hash) (sessions.Device, error) {
	return s.oneDevice(`SELECT `+deviceColumns+` FROM device WHERE code = ?`, code[:])
}

func (s *session) oneDevice(query string, a ...any) (sessions.Device, error) {
	var d sessions.Device
	var code, asked, answer []byte
	var created, expires, pause, polled int64
	err := s.one(query, a, &code, &d.ID, &d.UserCode, &d.ClientID, &asked, &created, &expires, &pause, &polled, &answer)
	if errors.Is(err, sql.ErrNoRows) {
		return sessions.Device{}, sessions.ErrNoDevice
	}
	if err != nil {
		return sessions.Device{}, err
	}
	var was askedOfDevice
	if err := json.Unmarshal(asked, &was); err != nil {
		return sessions.Device{}, fmt.Errorf("device %s: %w", d.ID, err)
	}
	d.Ask, d.Bound, d.Origin = was.Ask, was.Bound, was.Origin
	if len(answer) > 0 {
		d.Answer = new(sessions.Answer)
		if err := json.Unmarshal(answer, d.Answer); err != nil {
			return sessions.Device{}, fmt.Errorf("device %s: %w", d.ID, err)
		}
	}
	if len(code) != len(d.Code) {
		return sessions.Device{}, fmt.Errorf("device %s: its code is no hash", d.ID)
	}
	d.Code, d.Interval = secret.Hash(code), time.Duration(pause)*time.Microsecond
	d.Created, d.Expires, d.Polled = instant(created), instant(expires), instant(polled)
	return d, nil
}
