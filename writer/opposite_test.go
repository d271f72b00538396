package writer

import (
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// A planned cutover does not open what another operator is about to leave behind: his activate at the other site may be on its way. The model of the fence shows how that
// ends (docs/fence.md, "one direction" and "one mover"): what the one site executes until it hears of the other's activate is a tail, without any takeover.
func TestOppositePlans(t *testing.T) {
	t.Parallel()
	dcWrites := wal.Epoch{Minor: 1, Site: "dc"}
	says := func(site string, e wal.Epoch, sealed ...string) *wal.Attestation {
		a := &wal.Attestation{Site: site, Epoch: e, Streams: map[string]wal.StreamState{"dc": {N: 3}, "dr": {N: 2}}}
		for _, s := range sealed {
			stream := a.Streams[s]
			stream.Sealed = true
			a.Streams[s] = stream
		}
		return a
	}
	for _, tt := range []struct {
		name, from, to string
		epoch          wal.Epoch
		atFrom, atTo   []string // the sealed streams
		want           move
		stops          bool
	}{
		{name: "dc writes and is sealed for dr", from: "dc", to: "dr", epoch: dcWrites, atFrom: []string{"dc"}, atTo: []string{"dc"}, want: activate},
		{name: "dc writes, is sealed for dr, and is wanted back", from: "dr", to: "dc", epoch: dcWrites, atFrom: []string{"dc"}, atTo: []string{"dc"}, stops: true},
		{name: "dc is to be the first", from: "dr", to: "dc", atFrom: []string{"dr"}, atTo: []string{"dr"}, want: activate},
		{name: "dc is to be the first, and somebody else has sealed it", from: "dr", to: "dc", atFrom: []string{"dc", "dr"}, atTo: []string{"dc", "dr"}, stops: true},
		{name: "the same, before both are sealed", from: "dr", to: "dc", atFrom: nil, atTo: []string{"dc"}, stops: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := planned(pair{says(tt.from, tt.epoch, tt.atFrom...), says(tt.to, tt.epoch, tt.atTo...)}, tt.from, tt.to)
			if (err != nil) != tt.stops || !tt.stops && got != tt.want {
				t.Errorf("got %s, %v; want %s, or to stop: %t", got, err, tt.want, tt.stops)
			}
		})
	}
}
