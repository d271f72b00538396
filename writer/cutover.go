package writer

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
)

// Plan says how to move the writer.
type Plan struct {
	// Reason stands in the log, for people.
	Reason string
	// LagBudget is how many records the new site may be behind for a planned cutover to begin: nobody writes while it catches up. 0 = DefaultLagBudget.
	LagBudget int64
	// Timeout is how long the appliers and the mirror are waited for, in all. 0 = DefaultTimeout.
	Timeout time.Duration
	// Replay has the records that were fenced in between replayed.
	Replay bool
	// Progress is told of each step, for people. nil = nobody is.
	Progress func(line string)
	// Under are the epochs, by partition, that a takeover goes out from: it stops if a partition is in another one by then, and not open at the site. nil = any.
	Under []wal.Epoch
	// Opened is called once, when every partition is open at the new site: applications may write there. nil = nobody is told.
	Opened func()
}

// The defaults of a Plan.
const (
	DefaultLagBudget = 10_000
	DefaultTimeout   = 2 * time.Minute
)

// history is how far back attestations are read: the appliers publish some for every partition every ten seconds, unless they were told otherwise.
const history = 10 * time.Minute

// appendAgain is how long a control record may be without an answer before it is appended once more: the second one does nothing if the first one did.
const appendAgain = 15 * time.Second

func (p *Plan) complete() {
	if p.LagBudget == 0 {
		p.LagBudget = DefaultLagBudget
	}
	if p.Timeout == 0 {
		p.Timeout = DefaultTimeout
	}
	if p.Progress == nil {
		p.Progress = func(string) {}
	}
	if p.Opened == nil {
		p.Opened = func() {}
	}
}

// Moved is what a cutover or a takeover did.
type Moved struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Epochs are those that hold now, by partition.
	Epochs []wal.Epoch `json:"epochs"`
	// Already says that the site was the writer in every partition before.
	Already bool `json:"already"`
	// WithoutWriter is how long a partition had none, in seconds: from the seal being asked for until the new site attested its activate, the longest of all
	// partitions. 0 if it was closed before.
	WithoutWriter float64 `json:"withoutWriter"`
	// Fenced are the records that were acknowledged by Kafka in between, and did not count. What was replayed or dropped before is not among them.
	Fenced []Copy `json:"fenced"`
	// Replayed says that they were replayed, and count now.
	Replayed bool `json:"replayed"`
	// Check is the proof afterwards.
	Check *converge.Report `json:"check,omitempty"`
}

// Cutover moves the writer to a site while both are well. It refuses while the sites are not converged, while a tail is not reconciled, and over the lag budget. For each
// partition it closes the stream of the active site, waits until both sites have decided the same up to there, and opens the stream of the new one. Nothing is taken from who
// or what appended a record: an interrupted cutover is gone on with by running it again, from any place.
//
// Before the first epoch it makes the site the only writer.
//
// On an error the Moved says how far it has got.
func Cutover(ctx context.Context, from, to Site, p Plan) (*Moved, error) {
	p.complete()
	if err := matching(from, to); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.Timeout, fmt.Errorf("not done within %s; run it again to go on", p.Timeout))
	defer cancel()
	c := &cutover{
		Plan: p, from: from, to: to, out: &Moved{From: from.Identity().Sites.Self, To: to.Identity().Sites.Self, Fenced: []Copy{}},
		closed: make([]closing, to.Identity().Partitions),
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var err error
	if c.w, err = follow(watching, time.Now().Add(-history), c.fence, from, to); err != nil {
		return c.out, err
	}
	return c.out, c.run(ctx)
}

// matching refuses two sites that are not each other's peers.
func matching(a, b Site) error {
	x, y := a.Identity(), b.Identity()
	if x.Sites.Self != y.Sites.Peer || x.Sites.Peer != y.Sites.Self || x.Log != y.Log || x.Partitions != y.Partitions {
		return fmt.Errorf("%s (peer %s, log %s, %d partitions) and %s (peer %s, log %s, %d partitions) are not two sites of one log",
			x.Sites.Self, x.Sites.Peer, x.Log, x.Partitions, y.Sites.Self, y.Sites.Peer, y.Log, y.Partitions)
	}
	return nil
}

type cutover struct {
	Plan
	from, to Site
	w        *watch
	out      *Moved

	sealedAt map[int32]time.Time // when a seal was asked for, by partition
	asked    map[ask]time.Time
	began    map[int32]wal.Epoch // in which this cutover sealed a partition
	opened   bool
	closed   []closing // by partition
}

// ask is something that was appended.
type ask struct {
	partition int32
	move      move
	epoch     wal.Epoch
}

func (c *cutover) names() (from, to string) {
	return c.from.Identity().Sites.Self, c.to.Identity().Sites.Self
}

// fence notes where in the new site's log the active stream was closed last: at the seal, or at the last statement before it if nobody has heard of the seal itself.
func (c *cutover) fence(site int, a wal.Attestation) {
	if site != 1 {
		return
	}
	from, _ := c.names()
	s := &c.closed[a.Partition]
	switch sealed := a.Streams[activeIn(&a, from)].Sealed; {
	case a.Fence != nil && a.Fence.Type == wal.TypeSeal && a.Fence.Counted:
		s.begin, s.closed, s.known = a.Offset, true, true
	case sealed && !s.closed:
		s.begin, s.closed, s.known = s.open, true, true
	case !sealed:
		s.open, s.closed = a.Offset, false
	}
}

// closing is where in the new site's log a partition's active stream was closed.
type closing struct {
	open   int64 // the last statement that it was open
	begin  int64 // what stands behind it was fenced because it was closed
	closed bool  // as of the last statement
	known  bool  // it was ever
}

func (c *cutover) pair(p int32) pair { return pair{c.w.newest[0][p], c.w.newest[1][p]} }

func (c *cutover) run(ctx context.Context) error {
	from, to := c.names()
	if err := c.w.known(ctx); err != nil {
		return err
	}
	moves, err := c.settled(ctx)
	if err != nil {
		return err
	}
	todo := map[move]int{}
	for _, m := range moves {
		todo[m]++
	}
	c.out.Already = todo[done] == len(moves)
	if todo[seal] > 0 {
		if err := c.ready(ctx); err != nil {
			return err
		}
	}
	if !c.out.Already {
		c.Progress(fmt.Sprintf("%d partitions: %d to be sealed at %s, %d sealed already, %d done already", len(moves), todo[seal], from, todo[activate]+todo[await], todo[done]))
	}
	c.sealedAt, c.asked, c.began = map[int32]time.Time{}, map[ask]time.Time{}, map[int32]wal.Epoch{}
	if err := c.w.until(ctx, func() (bool, error) { return c.step(ctx) }); err != nil {
		return err
	}
	for p := range c.to.Identity().Partitions {
		c.out.Epochs = append(c.out.Epochs, c.w.newest[1][p].Epoch)
	}
	if !c.out.Already {
		c.Progress(fmt.Sprintf("%s is the active site, both sites say so; no partition was without a writer for longer than %.2f s", to, c.out.WithoutWriter))
	}
	if err := c.between(ctx); err != nil {
		return err
	}
	c.Progress("checking that both sites hold the same")
	report, err := c.to.Check(ctx, time.Until(deadline(ctx)))
	if err != nil {
		return err
	}
	c.out.Check = &report
	return nil
}

func deadline(ctx context.Context) time.Time {
	d, ok := ctx.Deadline()
	if !ok {
		return time.Now().Add(DefaultTimeout)
	}
	return d
}

// settled waits until both sites attest the same epoch in every partition: before, nothing can be said.
func (c *cutover) settled(ctx context.Context) ([]move, error) {
	from, to := c.names()
	moves := make([]move, c.to.Identity().Partitions)
	apart := ""
	err := c.w.until(ctx, func() (bool, error) {
		apart = ""
		for p := range c.to.Identity().Partitions {
			q := c.pair(p)
			if q.from.Epoch != q.to.Epoch {
				apart = fmt.Sprintf("partition %d is in epoch %s at %s and in %s at %s", p, q.from.Epoch, from, q.to.Epoch, to)
				return false, nil
			}
			m, err := planned(q, from, to)
			if err != nil {
				return false, err
			}
			moves[p] = m
		}
		return true, nil
	})
	if err != nil && apart != "" {
		err = fmt.Errorf("%s: does the mirror run? %w", apart, err)
	}
	return moves, err
}

// RefusedError says that a cutover was not begun. Nothing was written.
type RefusedError struct {
	Why   string
	Check *converge.Report // if that is why
}

func (e *RefusedError) Error() string { return e.Why }

// ready refuses a cutover that would take long, or would hide a difference.
func (c *cutover) ready(ctx context.Context) error {
	from, to := c.names()
	c.Progress("checking that both sites hold the same")
	report, err := c.from.Check(ctx, time.Until(deadline(ctx))) // where the writer is: the other one would wait for the next periodic barrier of this
	if err != nil {
		return err
	}
	if report.ExitCode() != 0 {
		return &RefusedError{Why: "refused: " + report.Sentence, Check: &report}
	}
	lag := int64(0)
	for _, row := range report.Streams {
		if row.Origin == from {
			lag = max(lag, row.Sites[to].LagRecords)
		}
	}
	if lag > c.LagBudget {
		return &RefusedError{Why: fmt.Sprintf("refused: %s is %d records behind in a partition, the budget is %d; nobody would write while it catches up. Wait, or raise the budget", to, lag, c.LagBudget), Check: &report}
	}
	return nil
}

// step appends what is due, and says whether all is done.
func (c *cutover) step(ctx context.Context) (bool, error) {
	from, to := c.names()
	var seals, activates []Control
	finished, opened := true, true
	for p := range c.to.Identity().Partitions {
		q := c.pair(p)
		open := q.to.Writes(to)
		opened = opened && open
		if t, ok := c.sealedAt[p]; ok && open {
			c.out.WithoutWriter = max(c.out.WithoutWriter, time.Since(t).Seconds())
			delete(c.sealedAt, p)
		}
		m, err := planned(q, from, to)
		if err != nil {
			return false, err
		}
		if m == done {
			continue
		}
		finished = false
		this := ask{p, m, q.to.Epoch}
		if m == await || time.Since(c.asked[this]) < appendAgain {
			continue
		}
		c.asked[this] = time.Now()
		if m == seal {
			if began, ok := c.began[p]; ok && began != this.epoch {
				return false, &StopError{
					Partition: p, Why: fmt.Sprintf("somebody else moved the writer meanwhile: %s is active in epoch %s", from, this.epoch),
					Remedy: "agree on who writes, and run it again",
				}
			}
			c.began[p] = this.epoch
			if _, ok := c.sealedAt[p]; !ok {
				c.sealedAt[p] = time.Now()
			}
			seals = append(seals, Control{Partition: p, Seal: &wal.Seal{ID: rand.Text(), Epoch: q.from.Epoch}})
		} else {
			activates = append(activates, Control{Partition: p, Activate: &wal.Activate{ID: rand.Text(), Epoch: q.to.Epoch.Planned(to), Reason: c.Reason}})
		}
	}
	if opened && !c.opened {
		c.opened = true
		c.Progress(fmt.Sprintf("applications may write at %s", to))
		c.Opened()
	}
	if len(activates) > 0 {
		if _, err := c.to.Append(ctx, activates); err != nil {
			return false, fmt.Errorf("append an activate at %s: %w; nobody writes in some partitions: run it again", to, err)
		}
		c.Progress(fmt.Sprintf("activate appended at %s: %s", to, partitions(activates)))
	}
	if len(seals) > 0 {
		if _, err := c.from.Append(ctx, seals); err != nil {
			return false, fmt.Errorf("append a seal at %s: %w; run it again", from, err)
		}
		c.Progress(fmt.Sprintf("seal appended at %s: %s", from, partitions(seals)))
	}
	return finished, nil
}

func partitions(c []Control) string {
	if len(c) == 1 {
		return fmt.Sprintf("partition %d", c[0].Partition)
	}
	return fmt.Sprintf("%d partitions", len(c))
}

// between lists what was acknowledged while no stream was open, or before the clients had moved, and replays it.
func (c *cutover) between(ctx context.Context) error {
	// What stands in the old site's log by now is decided at the new one when that has decided a barrier behind it.
	decided, err := c.w.behind(ctx, 0, 1, nil, partitionsOf(c.to))
	if err != nil {
		return err
	}
	err = c.to.Copies(ctx, Fenced, func(copied Copy) error {
		place, end := c.closed[copied.Partition], decided[copied.Partition]
		if place.known && copied.Done == "" && copied.TopicID == end.TopicID && copied.Offset > place.begin && copied.Offset < end.Offset {
			c.out.Fenced = append(c.out.Fenced, copied)
		}
		return nil
	})
	if err != nil || len(c.out.Fenced) == 0 || !c.Replay {
		return err
	}
	c.Progress(fmt.Sprintf("replaying %d records that were acknowledged in between", len(c.out.Fenced)))
	if _, err := (Replaying{List: Fenced, By: "cutover", Why: c.Reason}).replay(ctx, c.w, 1, c.out.Fenced); err != nil {
		return err
	}
	c.out.Replayed = true
	var chain wal.Chain
	known := fates{}
	for i := range c.out.Fenced {
		if t, ok := twinOf(&chain, &c.out.Fenced[i].Record, c.out.Fenced[i].Origin, wal.ClassFenced); ok {
			known.note(t, wal.ClassReplayed, 1)
		}
	}
	_, err = known.mark(ctx, c.from, Fenced, Mark{By: "cutover", Why: c.Reason})
	c.unnoted(c.from, err)
	return nil
}

// unnoted tells that a site's list does not say what became of its copies. They are shown there once more; nothing else comes of it.
func (p *Plan) unnoted(at Site, err error) {
	if err != nil {
		p.Progress(fmt.Sprintf("what became of fenced records could not be noted at %s: %v", at.Identity().Sites.Self, err))
	}
}
