package notify

import "github.com/offkey/offkey/internal/directory"

// texts are what messages to people say in one language.
type texts struct {
	where, name string
	once        string // what is done by the link, until when
	keep        string
	sent        string // by whom
	links       map[directory.Purpose]linkWords

	when, by, program, network string
	operator                   string // who did it, where it was not the person
	notYou                     string // what to do, at which page
	noMore                     string
	events                     map[directory.EventKind]eventWords
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
		when: "when", by: "by", program: "with", network: "from",
		operator: "an administrator",
		notYou:   "If it was you, or you know of it, nothing is to be done. If not, sign in, change\nyour password and sign out everywhere else:\n\n  %s\n\nIf you cannot sign in any more, tell whoever manages your account at once.",
		noMore:   "There were many such messages today: for the rest of the day no further one of\nthis kind is sent.",
		events: map[directory.EventKind]eventWords{
			directory.PasswordSet:      {"Your password was changed at %s", "The password of your account was changed."},
			directory.TOTPSet:          {"An authenticator app was added at %s", "An authenticator app was added to your account, in place of any before."},
			directory.TOTPRemoved:      {"Your authenticator app was removed at %s", "The authenticator app was removed from your account."},
			directory.PasskeyAdded:     {"A passkey was added at %s", "A passkey was added to your account: %s"},
			directory.PasskeyRemoved:   {"A passkey was removed at %s", "A passkey was removed from your account: %s"},
			directory.RecoveryMade:     {"New recovery codes at %s", "New recovery codes were made for your account. Older ones no longer work."},
			directory.RecoveryUsed:     {"A recovery code was used at %s", "A recovery code of your account was used. Codes that are left: %s"},
			directory.RecoveryRemoved:  {"Your recovery codes were removed at %s", "The recovery codes of your account were removed."},
			directory.AddressChanged:   {"Your email address was changed at %s", "The email address of your account was changed. It is now: %s"},
			directory.NewBrowser:       {"You signed in with a new browser at %s", "Somebody signed in to your account with a browser that it had not seen before."},
			directory.SecondNotReached: {"Somebody knows your password at %s", "Somebody gave the right password of your account, and then again and again a\nwrong second factor. They were not let in."},
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
		when: "wann", by: "durch", program: "mit", network: "von",
		operator: "eine Verwalterin oder einen Verwalter",
		notYou:   "Wenn Sie es waren oder davon wissen, müssen Sie nichts tun. Wenn nicht, melden\nSie sich an, ändern Sie Ihr Passwort und melden Sie sich überall sonst ab:\n\n  %s\n\nWenn Sie sich nicht mehr anmelden können, sagen Sie es sofort denen, die Ihr\nKonto verwalten.",
		noMore:   "Heute gab es viele solche Nachrichten: für den Rest des Tages wird keine weitere\ndieser Art gesendet.",
		events: map[directory.EventKind]eventWords{
			directory.PasswordSet:      {"Ihr Passwort wurde geändert bei %s", "Das Passwort Ihres Kontos wurde geändert."},
			directory.TOTPSet:          {"Eine Authenticator-App wurde hinzugefügt bei %s", "Ihrem Konto wurde eine Authenticator-App hinzugefügt, anstelle einer früheren."},
			directory.TOTPRemoved:      {"Ihre Authenticator-App wurde entfernt bei %s", "Die Authenticator-App wurde von Ihrem Konto entfernt."},
			directory.PasskeyAdded:     {"Ein Passkey wurde hinzugefügt bei %s", "Ihrem Konto wurde ein Passkey hinzugefügt: %s"},
			directory.PasskeyRemoved:   {"Ein Passkey wurde entfernt bei %s", "Von Ihrem Konto wurde ein Passkey entfernt: %s"},
			directory.RecoveryMade:     {"Neue Wiederherstellungscodes bei %s", "Für Ihr Konto wurden neue Wiederherstellungscodes gemacht. Frühere gelten nicht\nmehr."},
			directory.RecoveryUsed:     {"Ein Wiederherstellungscode wurde verwendet bei %s", "Ein Wiederherstellungscode Ihres Kontos wurde verwendet. Übrig sind: %s"},
			directory.RecoveryRemoved:  {"Ihre Wiederherstellungscodes wurden entfernt bei %s", "Die Wiederherstellungscodes Ihres Kontos wurden entfernt."},
			directory.AddressChanged:   {"Ihre E-Mail-Adresse wurde geändert bei %s", "Die E-Mail-Adresse Ihres Kontos wurde geändert. Sie ist jetzt: %s"},
			directory.NewBrowser:       {"Anmeldung mit einem neuen Browser bei %s", "Jemand hat sich mit einem Browser, den es noch nicht kannte, an Ihrem Konto\nangemeldet."},
			directory.SecondNotReached: {"Jemand kennt Ihr Passwort bei %s", "Jemand hat das richtige Passwort Ihres Kontos angegeben und danach immer wieder\neinen falschen zweiten Faktor. Es wurde niemand eingelassen."},
		},
	},
}
