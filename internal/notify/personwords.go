package notify

import "github.com/offkey/offkey/internal/directory"

// texts are what messages to people say in one language.
type texts struct {
	where, name string
	once        string // what is done by the link, until when
	keep        string
	sent        string // by whom
	links       map[directory.Purpose]linkWords
}

// linkWords are what a message about a one-time link says, by its purpose.
type linkWords struct{ subject, why, what, ignore string }

var languages = map[string]*texts{
	"en": {
		where: "where", name: "name", once: "%s, once, until %s:",
		keep: "Whoever has this link can use it in your place: do not pass it on.",
		sent: "Sent by offkey at %s",
		links: map[directory.Purpose]linkWords{
			directory.ForInvite: {
				"You are invited to sign in at %s", "You have an account there now.", "Choose how you sign in",
				"If you do not know of this, nothing is to be done: without the link the\naccount cannot be used.",
			},
			directory.ForReset: {
				"Choose another password at %s", "You, or an administrator for you, asked for another password.", "Choose it",
				"If you did not ask for it, nothing is to be done: your password stays as it is.",
			},
			directory.ForEmail: {
				"Is this your address at %s", "This address was given for an account there.", "Say that it is yours",
				"If it is not your account, nothing is to be done.",
			},
			directory.ForAddress: {
				"Your new address at %s", "Somebody who is signed in to this account wants this to be its address.", "Use it",
				"If it is not your account, nothing is to be done: without the link the\naddress is not used.",
			},
		},
	},
	"de": {
		where: "wo", name: "Name", once: "%s, einmal, bis %s:",
		keep: "Wer diesen Link hat, kann ihn an Ihrer Stelle verwenden: geben Sie ihn nicht\nweiter.",
		sent: "Gesendet von offkey unter %s",
		links: map[directory.Purpose]linkWords{
			directory.ForInvite: {
				"Einladung zur Anmeldung bei %s", "Sie haben dort jetzt ein Konto.", "Wählen Sie, wie Sie sich anmelden",
				"Wenn Sie davon nichts wissen, müssen Sie nichts tun: ohne den Link ist das\nKonto nicht zu benutzen.",
			},
			directory.ForReset: {
				"Neues Passwort bei %s", "Sie, oder eine Verwalterin für Sie, haben um ein neues Passwort gebeten.", "Wählen Sie es",
				"Wenn Sie nicht darum gebeten haben, müssen Sie nichts tun: Ihr Passwort bleibt,\nwie es ist.",
			},
			directory.ForEmail: {
				"Ist das Ihre Adresse bei %s", "Diese Adresse wurde für ein Konto dort angegeben.", "Bestätigen Sie, dass es Ihre ist",
				"Wenn es nicht Ihr Konto ist, müssen Sie nichts tun.",
			},
			directory.ForAddress: {
				"Ihre neue Adresse bei %s", "Jemand, der an diesem Konto angemeldet ist, möchte diese Adresse dafür verwenden.", "Verwenden Sie sie",
				"Wenn es nicht Ihr Konto ist, müssen Sie nichts tun: ohne den Link wird die\nAdresse nicht verwendet.",
			},
		},
	},
}
