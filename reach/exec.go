package reach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// endTimeout is how long a command may take to end by itself once its input has ended.
const endTimeout = 3 * time.Second

// Exec runs a command that serves a site on its standard input and output, such as
//
//	kubectl exec -i deploy/redis-applier -- /redis-applier ctl
//
// and reaches the site through it. The command ends with [Remote.Close], or with ctx. What it wrote to its standard error is in the error when it dies.
func Exec(ctx context.Context, argv []string) (*Remote, error) {
	if len(argv) == 0 {
		return nil, errors.New("no command is given that reaches the site")
	}
	p := &process{ctx: ctx, name: strings.Join(argv, " "), cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), ended: make(chan struct{})}
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = endTimeout
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("`%s`: %w", p.name, err)
	}
	if p.stdout, err = p.cmd.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("`%s`: %w", p.name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("`%s`: %w", p.name, err)
	}
	r, err := Dial(p)
	if err != nil {
		_ = p.cmd.Process.Kill() // whatever it is, it is not what was wanted
		if end := p.end(); !errors.Is(err, end) && p.stderr.String() != "" {
			err = fmt.Errorf("%w; on its standard error: %s", err, p.stderr.String())
		}
		return nil, fmt.Errorf("`%s`: %w", p.name, err)
	}
	return r, nil
}

// process is the stream to and from a command.
type process struct {
	ctx    context.Context
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	stderr tail

	once  sync.Once
	how   error         // how it ended; never nil then
	ended chan struct{} // closed then
}

// Read implements [io.Reader]. Its end is an error that says how the command ended.
func (p *process) Read(b []byte) (int, error) {
	n, err := p.stdout.Read(b)
	if err != nil && n == 0 {
		return 0, p.end()
	}
	return n, nil
}

// Write implements [io.Writer].
func (p *process) Write(b []byte) (int, error) { return p.stdin.Write(b) }

// end waits for the command.
func (p *process) end() error {
	p.once.Do(func() {
		defer close(p.ended)
		p.how = p.cmd.Wait()
		switch said := p.stderr.String(); {
		case p.ctx.Err() != nil:
			p.how = context.Cause(p.ctx)
		case p.how == nil && said == "":
			p.how = fmt.Errorf("`%s` has ended", p.name)
		case p.how == nil:
			p.how = fmt.Errorf("`%s` has ended: %s", p.name, said)
		case said != "":
			p.how = fmt.Errorf("`%s`: %w: %s", p.name, p.how, said)
		default:
			p.how = fmt.Errorf("`%s`: %w", p.name, p.how)
		}
	})
	return p.how
}

// Close ends the command's input, and the command if it does not end by that.
func (p *process) Close() error {
	_ = p.stdin.Close()
	timer := time.NewTimer(endTimeout)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		_ = p.stdout.Close() // a child of its own may hold it open
		<-p.ended
	}
	return nil
}

// tail keeps the last of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 4 << 10

// Write implements [io.Writer].
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if len(t.b) > tailBytes {
		t.b = append([]byte(nil), t.b[len(t.b)-tailBytes:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
