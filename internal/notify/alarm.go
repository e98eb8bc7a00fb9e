package notify

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
)

// TellAdmins tells email.to_admins of something that cannot wait. Where it is
// empty the message stays in the outbox for whoever looks.
func (o *Outbox) TellAdmins(ctx context.Context, subject, text string) {
	s := o.settings.Load()
	m := message{
		from: s.From, at: o.Now(), id: "alarm-" + uuid.Must(uuid.NewV7()).String(),
		subject: oneLine(subject, 200), text: fmt.Sprintf("%s\n%s", text, signature(s)),
	}
	if err := o.post(m, s.Admins); err != nil {
		o.count(lost)
		o.Log.LogAttrs(ctx, slog.LevelError, "the operators could not be told: the outbox cannot be written", slog.String("subject", subject), slog.Any("error", err))
	}
}
