package realise

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// JobResult is how a Job ended.
type JobResult struct {
	Site, Name string
	// ExitCode is the container's; -1 = killed at its deadline.
	ExitCode int
	// Output is what it wrote.
	Output string
	// Took is from start to end.
	Took time.Duration
}

// RunJobs runs the site's Jobs one after the other, each once: what the program would wait for.
func (l *Lab) RunJobs(ctx context.Context, siteName string) ([]JobResult, error) {
	s := l.sites[siteName]
	s.mu.Lock()
	jobs := slices.Clone(s.jobs)
	s.mu.Unlock()
	var out []JobResult
	for i, j := range jobs {
		s.mu.Lock()
		s.runs++
		name := fmt.Sprintf("%s-%s-%d-%d", siteName, j.Metadata.Name, i, s.runs)
		s.mu.Unlock()
		p, err := s.newPod(j.Head, j.Spec.Template, name)
		if err != nil {
			return out, fmt.Errorf("%s: %w", j, err)
		}
		spec, err := s.podSpec(p)
		if err != nil {
			return out, fmt.Errorf("%s: %w", j, err)
		}
		began := time.Now()
		proc, err := l.cfg.Group.Start(spec)
		if err != nil {
			return out, fmt.Errorf("%s: %w", j, err)
		}
		runCtx, cancel := ctx, context.CancelFunc(func() {})
		if d := j.Spec.ActiveDeadlineSeconds; d > 0 {
			runCtx, cancel = context.WithTimeout(ctx, time.Duration(d)*time.Second)
		}
		select {
		case <-proc.Done():
		case <-runCtx.Done():
			err = proc.Stop(time.Second)
		}
		cancel()
		if err != nil {
			return out, fmt.Errorf("%s: %w", j, err)
		}
		text, err := os.ReadFile(l.cfg.Group.LogFile(name))
		if err != nil {
			return out, fmt.Errorf("%s: %w", j, err)
		}
		out = append(out, JobResult{Site: siteName, Name: j.Metadata.Name, ExitCode: proc.ExitCode(), Output: string(text), Took: time.Since(began)})
	}
	return out, nil
}
