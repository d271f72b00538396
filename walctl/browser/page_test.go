package browser_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/page"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
)

// The page of `walctl status --serve`, as a person meets it. One browser serves all tests, each with tabs of its own.
func TestPage(t *testing.T) {
	browser := chromium(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"is live":                   live,
		"says when it is not":       lost,
		"holds still":               still,
		"works without scripts":     withoutScripts,
		"fits":                      fits,
		"fits long names":           long,
		"can be read in any light":  light,
		"is known to screen reader": named,
		"is used by keys":           keys,
	} {
		t.Run(name, func(t *testing.T) { test(t, browser) })
	}
}

// well are two sites that are well, with a writer and a drill behind them.
func well(t *testing.T) *operator {
	t.Helper()
	o := newOperator(t, 4)
	o.walctl("cutover", "--to", "dc", "--yes")
	o.world.Barriers()
	for p := range int32(4) {
		o.world.Write("dc", p, 1000+int(p))
	}
	o.world.Barriers()
	o.walctl("drill", "--yes", "--reason", "monthly")
	o.world.Write("dc", 2, 7)
	o.world.Barriers()
	return o
}

// ill makes them so: each colour and each kind of trouble is on the page.
func ill(o *operator) {
	o.world.Write("dc", 1, 1)
	o.world.Reject("dc", 0, "poison", "undecodable", "that is no op")
	o.world.Halt("dr", 1, "gap")
	o.world.Down("dc")
}

// counted is the cell that says how many records of dc a site has counted in partition 0.
func counted(site string) string {
	return fmt.Sprintf(`document.querySelector("table:has(#partitions-%s) tbody tr td:nth-of-type(4)").textContent`, site)
}

func live(t *testing.T, browser context.Context) {
	o := well(t)
	at, _ := o.serve()
	p := open(t, browser, at)
	before := ask[string](p, counted("dr"))
	p.run(chromedp.Focus("a"))
	ask[bool](p, `window.same = document.querySelector("table"); getSelection().selectAllChildren(document.querySelector("h1")); true`)
	o.world.Write("dc", 0, 5)
	o.world.Barriers()
	p.until(counted("dr") + ` !== "` + before + `"`)
	p.until(counted("dr") + " === " + counted("dc"))
	if !ask[bool](p, `window.same === document.querySelector("table") && document.activeElement.tagName === "A" && getSelection().toString() === "redis-writes"`) {
		t.Error("what did not change was drawn anew: it has lost its focus, or its selection")
	}
	if got := ask[string](p, `document.getElementById("said").textContent`); got != "" {
		t.Errorf("a screen reader is told %q, and nothing happened", got)
	}
	if got := ask[string](p, `document.title`); got != "✓ redis-writes" {
		t.Errorf("got the title %q", got)
	}
	o.world.Halt("dr", 1, "gap")
	p.until(`document.getElementById("said").textContent === "Can I sleep? No. Can I cut over to dr? No."`)
	p.until(`document.title === "✗ redis-writes" && document.querySelector("link[rel=icon]").href.endsWith("icon-no.svg")`)
	p.until(`document.querySelector("#main").innerText.includes("dr: partition 1: halted for gap")`)
	o.world.Down("dc")
	p.until(`document.querySelector("#main").innerText.includes("dc is not reached")`)
	o.world.Up("dc")
	p.until(`!document.querySelector("#main").innerText.includes("dc is not reached")`)
	if n := p.loaded(); n != 1 {
		t.Errorf("the page was loaded %d times", n)
	}
}

func lost(t *testing.T, browser context.Context) {
	o := well(t)
	at, end := o.serve()
	p := open(t, browser, at)
	if ask[bool](p, `document.getElementById("lost").checkVisibility()`) {
		t.Error("it says that it is lost, and it is not")
	}
	end()
	p.until(`document.getElementById("lost").checkVisibility() && document.getElementById("lost").innerText === "walctl does not answer: what stands here is old."`)
	p.until(`document.querySelector("h1").innerText === "redis-writes"`) // what was known is still there
	p.leave()
}

func still(t *testing.T, browser context.Context) {
	o := well(t)
	at, _ := o.serve()
	p := open(t, browser, at)
	p.run(chromedp.Click("header a"), chromedp.WaitVisible(`header a[href="./"]`))
	text := ask[string](p, "document.body.innerText")
	other := open(t, browser, at) // by which it is told that the world went on
	o.world.Halt("dr", 1, "gap")
	other.until(`document.body.innerText.includes("halted for gap")`)
	if got := ask[string](p, "document.body.innerText"); got != text {
		t.Errorf("it was drawn anew:\n%s", got)
	}
	p.run(chromedp.Click("header a"))
	p.until(`document.body.innerText.includes("halted for gap")`)
}

func withoutScripts(t *testing.T, browser context.Context) {
	o := well(t)
	at, _ := o.serve()
	p := open(t, browser, at, emulation.SetScriptExecutionDisabled(true))
	if p.asked(".js") {
		t.Fatal("scripts run")
	}
	p.picture("no scripts")
	o.world.Halt("dr", 1, "gap")
	p.until(`document.body.innerText.includes("dr: partition 1: halted for gap")`) // the question is the test's; no script of the page runs
	if p.loaded() < 2 {
		t.Error("it changed, and was not loaded anew")
	}
}

// fits looks whether the page can be read without scrolling sideways, on phones, with large letters, and on a desk.
func fits(t *testing.T, browser context.Context) {
	o := well(t)
	at, _ := o.serve()
	p := open(t, browser, at)
	for _, what := range []string{"well", "ill"} {
		for _, width := range []int64{320, 360, 390, 768, 1024, 1440} {
			p.run(chromedp.EmulateViewport(width, 800, chromedp.EmulateScale(1)))
			if got := ask[int64](p, "document.documentElement.scrollWidth"); got > width {
				culprits := ask[[]string](p, `[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".wide")).map((e) => e.outerHTML.slice(0, 100))`)
				t.Errorf("%s, %d wide: the page is %d wide: %q", what, width, got, culprits)
			}
			if width == 390 || width == 1440 {
				p.picture(fmt.Sprintf("%s %d", what, width))
			}
		}
		if what == "well" {
			ill(o)
			p.until(`document.body.innerText.includes("halted for gap") && document.body.innerText.includes("dc is not reached") && document.body.innerText.includes("DLQ of dr")`)
		}
	}
}

// long looks at names that have no place to break, numbers of twelve digits, and more partitions than anybody can want.
func long(t *testing.T, browser context.Context) {
	name := strings.Repeat("redis-of-the-orders-team", 4)
	m := status.Model{Log: name, Partitions: 64, Drills: []status.Drill{{Home: "dc", Away: "dr", Smoke: "unknown", Reason: name}}, Notes: []string{"`" + name + "`"}}
	m.Sleep = status.Reply{Answer: status.No, Reasons: []string{name}}
	for _, site := range []string{"dc", "dr"} {
		s := status.State{Site: site, Redis: &status.Redis{Primary: name + ".svc.cluster.local:6379", Replicas: []reach.Replica{{Addr: name + ":6379"}}}}
		for p := range m.Partitions {
			s.Places = append(s.Places, status.Place{Partition: p, Next: 987_654_321_012, Behind: 123_456_789, Streams: map[string]wal.StreamState{site: {N: 987_654_321_012}}})
		}
		m.Sites = append(m.Sites, s)
	}
	board := page.NewBoard()
	board.Show(m)
	server := httptest.NewServer(page.Handler(board, page.Look{Every: time.Hour, Version: name}, page.Names{}))
	defer server.Close()
	p := open(t, browser, server.URL+"/")
	for _, width := range []int64{320, 390, 1024} {
		p.run(chromedp.EmulateViewport(width, 800, chromedp.EmulateScale(1)))
		if got := ask[int64](p, "document.documentElement.scrollWidth"); got > width {
			t.Errorf("%d wide: the page is %d wide", width, got)
		}
		p.picture(fmt.Sprintf("long %d", width))
	}
	p.leave()
}

// contrasts returns what is written with too little of it, and how dark the page is. Every text is compared with the ground that is drawn below it.
const contrasts = `(() => {
	const channels = (color) => color.match(/[\d.]+/g).map(Number);
	const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = (element) => {
		for (let e = element; e; e = e.parentElement) {
			const c = channels(getComputedStyle(e).backgroundColor);
			if (c.length === 3 || c[3] === 1) return c;
			if (c[3] !== 0) throw new Error("a ground that shines through: " + e.outerHTML.slice(0, 80));
		}
		throw new Error("there is no ground");
	};
	const low = [], seen = [];
	for (const e of document.querySelectorAll("body, body *")) {
		const text = [...e.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE).map((n) => n.data).join("").trim();
		if (!text || e.closest(".unseen, [hidden]")) continue;
		const [a, b] = [luminance(channels(getComputedStyle(e).color)), luminance(ground(e))].sort((a, b) => b - a);
		const ratio = (a + 0.05) / (b + 0.05);
		seen.push(ratio);
		if (ratio < 4.5) low.push(text + ": " + ratio.toFixed(2));
	}
	return {low, least: Math.min(...seen), texts: seen.length, ground: luminance(ground(document.body))};
})()`

func light(t *testing.T, browser context.Context) {
	o := well(t)
	at, end := o.serve()
	p := open(t, browser, at)
	for _, what := range []string{"well", "ill", "lost"} {
		switch what {
		case "ill":
			ill(o)
			p.until(`document.body.innerText.includes("halted for gap") && document.body.innerText.includes("dc is not reached")`)
		case "lost":
			end()
			p.until(`document.getElementById("lost").checkVisibility()`)
			defer p.leave()
		}
		for _, scheme := range []string{"light", "dark"} {
			p.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
			got := ask[struct {
				Low           []string
				Least, Ground float64
				Texts         int
			}](p, contrasts)
			t.Logf("%s, %s: least contrast %.2f of %d texts", what, scheme, got.Least, got.Texts)
			if len(got.Low) > 0 || got.Texts < 50 {
				t.Errorf("%s, %s: less than 4.5:1 between letters and ground: %q (%d texts)", what, scheme, got.Low, got.Texts)
			}
			if dark := got.Ground < 0.1; dark != (scheme == "dark") {
				t.Errorf("%s: the ground has luminance %.2f", scheme, got.Ground)
			}
			p.run(chromedp.EmulateViewport(1440, 900, chromedp.EmulateScale(1)))
			p.picture(what + " " + scheme)
			p.run(chromedp.EmulateViewport(390, 800, chromedp.EmulateScale(2)))
			p.picture(what + " " + scheme + " phone")
		}
	}
}

// named looks at what a screen reader is told.
func named(t *testing.T, browser context.Context) {
	o := well(t)
	o.world.Halt("dr", 1, "gap")
	at, _ := o.serve()
	p := open(t, browser, at+"?still")
	type said struct {
		Value any `json:"value"`
	}
	var tree struct { // the library's own type does not know all that a newer browser says
		Nodes []struct {
			Ignored bool `json:"ignored"`
			Role    said `json:"role"`
			Name    said `json:"name"`
		} `json:"nodes"`
	}
	p.run(chromedp.ActionFunc(func(ctx context.Context) error {
		return cdp.Execute(ctx, accessibility.CommandGetFullAXTree, nil, &tree)
	}))
	names := map[string][]string{}
	for _, n := range tree.Nodes {
		role, _ := n.Role.Value.(string)
		name, _ := n.Name.Value.(string)
		if n.Ignored {
			continue
		}
		names[role] = append(names[role], name)
		if name == "" && slices.Contains([]string{"link", "heading", "table", "group", "columnheader", "rowheader"}, role) {
			t.Errorf("a %s has no name", role)
		}
	}
	for role, want := range map[string][]string{
		"table":        {"Both sites", "Partitions at dc", "Partitions at dr", "Last drills"},
		"group":        {"Partitions at dc", "Partitions at dr", "Last drills"}, // what scrolls sideways can be reached by keys
		"heading":      {"redis-writes", "Answers", "Can I sleep?", "Can I cut over to dr?"},
		"columnheader": {"dc", "dr", "Writer", "Position", "Behind", "Smoke test"},
		"rowheader":    {"answers", "writer", "behind its log", "mirror", "halted", "last heard", "0", "3"},
		"link":         {"Keep it up to date", "status.json"},
		"main":         {""}, "status": {""}, "RootWebArea": {"✗ redis-writes"},
	} {
		for _, w := range want {
			if !slices.Contains(names[role], w) {
				t.Errorf("there is no %s %q; there are %q", role, w, names[role])
			}
		}
	}
	// What is wrong is said in words, not by its colour.
	for selector, want := range map[string]string{".card.no .answer": "No", "table.sites td.wrong": "wrong: partition 1: gap", "tr.wrong td": "wrong: dc, 0.3.dc, halted"} {
		if got := ask[string](p, `document.querySelector("`+selector+`").textContent`); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q", selector, got, want)
		}
	}
}

// keys goes through the page by the tabulator: every stop can be seen.
func keys(t *testing.T, browser context.Context) {
	o := well(t)
	at, _ := o.serve()
	p := open(t, browser, at+"?still", chromedp.EmulateViewport(360, 700))
	var stops []string
	for range 6 {
		p.run(chromedp.KeyEvent(kb.Tab))
		at := ask[struct {
			What, Style string
			Width       float64
		}](p, `(() => { const e = document.activeElement, s = getComputedStyle(e); return {what: e.getAttribute("aria-labelledby") || e.textContent, style: s.outlineStyle, width: parseFloat(s.outlineWidth)}; })()`)
		if at.Style == "none" || at.Width < 2 {
			t.Errorf("the focus on %q cannot be seen: %s, %v px", at.What, at.Style, at.Width)
		}
		if stops = append(stops, at.What); at.What == "status.json" {
			break
		}
	}
	if want := []string{"Keep it up to date", "partitions-dc", "partitions-dr", "drills", "status.json"}; !slices.Equal(stops, want) {
		t.Errorf("got the stops %q, want %q", stops, want)
	}
}
