package store

import "strings"

const (
	maxWord  = 256    // bytes kept of a word
	maxWords = 50_000 // words remembered between calls
)

// words remembers the numbers of the words of traffic, so that a row like those
// before it costs no look-up. Its zero value is empty and ready.
type words struct {
	byWord   map[string]numbered
	carriers map[carrierOf]int64 // the day noted last
}

// carrierOf is where an apikey was seen.
type carrierOf struct{ apikeyID, carrier string }

// carrierIsNew reports whether an apikey is to be noted in a place on a day, and
// remembers that it was.
func (w *words) carrierIsNew(id, carrier string, day int64) bool {
	at := carrierOf{id, carrier}
	if known, ok := w.carriers[at]; ok && known >= day {
		return false
	}
	if w.carriers == nil || len(w.carriers) >= maxWords {
		w.carriers = map[carrierOf]int64{}
	}
	w.carriers[at] = day
	return true
}

// numbered is a word's number, and the latest hour noted for it.
type numbered struct{ number, hour int64 }

// forget is called when what was remembered may not be there any more.
func (w *words) forget() { w.byWord, w.carriers = nil, nil }

// number returns the number of a word that a row of that hour will hold, and
// gives it one if it is new.
func (w *words) number(x *tx, word string, hour int64) (int64, error) {
	if word == "" {
		return 0, nil
	}
	word = word[:min(len(word), maxWord)]
	known, ok := w.byWord[word]
	if ok && known.hour >= hour {
		return known.number, nil
	}
	n := numbered{hour: hour}
	if err := x.one(`INSERT INTO traffic_word (word, last_hour) VALUES (?, ?) ON CONFLICT (word) DO UPDATE SET
		last_hour = CASE WHEN excluded.last_hour > traffic_word.last_hour THEN excluded.last_hour ELSE traffic_word.last_hour END RETURNING id`,
		args{printable(word), hour}, &n.number); err != nil {
		return 0, err
	}
	if w.byWord == nil || len(w.byWord) >= maxWords {
		w.byWord = make(map[string]numbered)
	}
	w.byWord[word] = n
	return n.number, nil
}

// printable is a word as every engine can keep it: UTF-8 without NUL, and not
// endless.
func printable(word string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(word[:min(len(word), maxWord)], "\x00", "?"), "?")
}
