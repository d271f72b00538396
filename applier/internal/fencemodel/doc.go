// Package fencemodel tries every order of events at two sites with one partition, up to a bound, and looks for one that breaks a promise of the fence. What a site makes of its
// log is decided by the applier's own planner (package plan), not by a copy of its rules. docs/fence.md tells what comes out.
//
// A state is the logs of the two sites, how far each mirror has come, and how far each operator's program has come. What a site's applier and Redis make of a log is a function
// of the log. So a slow applier, a cut mirror, a site that is down and an operator who went away are nothing of their own: their next step has not happened yet. A promise
// about the end is checked in every state, on the logs that come out when both mirrors deliver what is left and nobody writes any more.
//
// The files: record.go makes the records, history.go has a site plan them, state.go is what clients and mirrors do, operators*.go what the operators do, decide.go how they
// decide, promises.go what is checked, search.go the search, rules.go what can be taken away.
package fencemodel
