// Package browser looks at the page of `walctl status --serve` with Chromium, as a person would: `make test-browser`. It is a module of its own, so that nobody else pays for the library that drives the browser.
package browser
