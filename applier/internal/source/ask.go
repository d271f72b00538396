package source

// Ask has the poll loop call f before it polls again, and does not wait for that. An answer is a sign of life of the loop, which else
// says nothing while the log is idle.
func (s *Source) Ask(f func()) { s.request(f) }
