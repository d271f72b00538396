package app

import (
	"context"
	"log/slog"
	"regexp"
	"sync"
	"time"
)

// once keeps trouble that lasts from filling the log: the same line of the same subject appears again only after a while.
type once struct {
	mu   sync.Mutex
	said map[string]map[string]time.Time // by subject, by text
}

const (
	// repeatAfter is how often lasting trouble is logged.
	repeatAfter = 30 * time.Second
	// saidTexts is how many lines of a subject are remembered: a Redis that is down fails in a few ways by turns.
	saidTexts = 8
)

// ownAddress is this side of a connection in an error of package net. Its port is another at each attempt.
var ownAddress = regexp.MustCompile(`[^\s]+->`)

func newOnce() *once { return &once{said: map[string]map[string]time.Time{}} }

// log logs unless the line with this message and key was logged for the subject a short while ago.
func (o *once) log(logger *slog.Logger, level slog.Level, subject, key, msg string, args ...any) {
	if o.fresh(subject, msg+ownAddress.ReplaceAllString(key, ""), time.Now()) {
		logger.Log(context.Background(), level, msg, args...)
	}
}

func (o *once) fresh(subject, text string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	said := o.said[subject]
	if at, ok := said[text]; ok && now.Sub(at) < repeatAfter {
		return false
	}
	if said == nil || len(said) >= saidTexts {
		said = map[string]time.Time{} // what comes in so many ways is worth a few lines more
		o.said[subject] = said
	}
	said[text] = now
	return true
}

// forget says whether there was something to forget: then the trouble is over.
func (o *once) forget(subject string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.said[subject]
	delete(o.said, subject)
	return ok
}
