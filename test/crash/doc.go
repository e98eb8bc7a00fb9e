// Package crash holds tests only: an offkey that is killed (SIGKILL) at a
// random moment under load has lost and undone nothing that it had
// acknowledged.
//
// A round starts the process on the data of the round before, checks what was
// acknowledged until then, changes things through its sockets from many
// connections at once, and kills it. What was asked for and not yet answered may
// have happened or not; what was answered has happened. Some rounds kill the
// process while it starts.
//
// SIGKILL takes the process and leaves the operating system: that commits reach
// the disk before they are acknowledged is for the store's own settings, which
// its tests hold.
package crash
