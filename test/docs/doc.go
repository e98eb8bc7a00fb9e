// Package docs runs what the pages of docs/ tell people to run: the tutorials
// from end to end, the commands of the how-to guides against an offkey that is
// in the state they speak of, and every command named anywhere far enough to
// see that it exists with those flags. There is nothing to import.
package docs
