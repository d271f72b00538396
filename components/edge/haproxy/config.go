package haproxy

import (
	"fmt"
	"net"
	"strings"

	"github.com/comptech-lab/redis-wal/wal"
)

// Config is the text of haproxy.cfg. The password is not in it.
func (a Args) Config() (string, error) {
	a = a.WithDefaults()
	if err := a.Validate(); err != nil {
		return "", err
	}
	var l lines
	a.global(&l)
	for _, s := range a.Sites {
		if s.reached() {
			a.backend(&l, s, false)
			if s.Bind != "" {
				a.backend(&l, s, true)
			}
		}
	}
	a.frontends(&l)
	return l.String(), nil
}

// checkTimeout is how long a Redis may take to answer. It is below the time after which Sentinels find it down.
const checkTimeout = "3s"

func (a Args) global(l *lines) {
	l.add("# Clients of the log %s: they are given the primary of the active site. Written by redis-wal; change its arguments, not this text.", a.Log)
	l.add("# The environment variable %s has the password of the Redis user %s.", a.PasswordEnv, a.User)
	l.add("global")
	l.add("    log stdout format raw local0 notice")
	l.add("    maxconn %d", a.Connections)
	l.add("    hard-stop-after 5s")
	l.add("    # One thread: the checks of all servers share proc.newest.")
	l.add("    nbthread 1")
	l.add("    # The greatest epoch that any Redis has told of, as a number: generation, minor, site (%s = %d, %s = %d). Before the first: %s.",
		a.Sites[0].Name, a.bit(a.Sites[0].Name), a.Sites[1].Name, a.bit(a.Sites[1].Name), a.Sites[0].Name)
	l.add("    set-var proc.newest int(%d)", a.bit(a.Sites[0].Name))
	l.add("    set-var proc.greater str(%s)", a.greater())
	if a.TLS != nil {
		l.add("    # The key of tls.crt is in tls.key, as in a Secret.")
		l.add("    ssl-load-extra-del-ext")
		l.add("    ssl-default-bind-options ssl-min-ver TLSv1.2")
	}
	l.add("")
	l.add("defaults")
	l.add("    mode tcp")
	l.add("    log global")
	l.add("    timeout connect 1s")
	l.add("    timeout check %s", checkTimeout)
	l.add("    # Readers keep connections that are idle for long.")
	l.add("    timeout client 24h")
	l.add("    timeout server 24h")
	l.add("    option clitcpka")
	l.add("    option srvtcpka")
	l.add("    retries 1")
	l.add("    # Whoever is not served any more is cut off: a client that stayed would read from a replica or from the passive site.")
	l.add("    default-server inter %dms fall 1 rise 1 on-marked-down shutdown-sessions", a.Interval.Milliseconds())
	if !a.byName() {
		return
	}
	l.add("")
	l.add("resolvers names")
	l.add("    parse-resolv-conf")
	l.add("    accepted_payload_size 8192")
	l.add("    timeout resolve 1s")
	l.add("    timeout retry 1s")
	l.add("    hold valid 1s")
	l.add("    # While nobody answers, what was known stays: a wrong address does not pass the check.")
	l.add("    hold timeout 24h")
	l.add("    hold refused 24h")
	l.add("    hold other 24h")
}

// ofSite is the name of the backend that is the site's primary, whichever site is active.
func ofSite(site string) string { return site + "_asked" }

func (a Args) backend(l *lines, s Site, asked bool) {
	name := s.Name
	l.add("")
	if asked {
		name = ofSite(name)
		l.add("# The primary of %s, for who asks for that site.", s.Name)
	} else {
		l.add("# The primary of %s, while %s is the active site.", s.Name, s.Name)
	}
	l.add("backend %s", name)
	l.add("    balance first")
	l.add("    option tcp-check")
	l.add("    tcp-check connect default")
	l.add("    tcp-check send-lf %s", a.question(s))
	l.add(`    tcp-check expect rstring ^\+OK\r\n\$[0-9]+\r\n(none|[0-9]+\.[0-9]+\.(%s|%s))\r\n comment "the password is right, and it holds the log %s"`,
		a.Sites[0].Name, a.Sites[1].Name, a.Log)
	if !asked {
		for _, line := range []string{
			"# The epoch as a number, and the greatest of all.",
			`tcp-check set-var(check.epoch) res.payload(0,0),word(3,\r\n)`,
			"tcp-check set-var(check.generation) var(check.epoch),word(1,.)",
			"tcp-check set-var(check.minor) var(check.epoch),word(2,.)",
			"tcp-check set-var(check.site) var(check.epoch),word(3,.),strcmp(proc.greater),bool,not",
			"tcp-check set-var(check.minor) var(check.minor),mul(2),add(check.site)",
			"tcp-check set-var(check.epoch) var(check.generation),mul(4294967296),add(check.minor)",
			"tcp-check set-var(check.ahead) var(check.epoch),sub(proc.newest)",
			"tcp-check set-var(check.newer) var(check.ahead),add(1152921504606846976),div(1152921504606846976)",
			"tcp-check set-var(check.ahead) var(check.ahead),mul(check.newer)",
			"tcp-check set-var(proc.newest) var(check.ahead),add(proc.newest)",
		} {
			l.add("    %s", line)
		}
	}
	if a.Alone {
		l.add(`    tcp-check expect string role:master comment "it is a primary"`)
	} else {
		l.add(`    tcp-check expect rstring role:master[\s\S]*min_slaves_good_slaves:[1-9] comment "it is a primary, and a replica is in step"`)
	}
	if !asked {
		l.add(`    tcp-check expect string-lf %s%%[var(proc.newest),and(1)] comment "%s is the active site"`, marker, s.Name)
	}
	l.add("    tcp-check set-var(proc.%s) date(0,ms)", seen(name))
	a.servers(l, s)
}

// marker begins what a Redis is made to say of its site. Nothing else in its answer may look like it: INFO has repl_backlog_active:1.
const marker = "redis-wal/site="

// seen is the variable with the time of the last good answer of a backend.
func seen(backend string) string { return strings.ReplaceAll(backend, "-", "_") + "_seen" }

// question is all that a Redis is asked, at once. It closes the connection when it has answered, so that no check waits for more than there is.
// What the site is called in proc.newest is asked of the Redis too, so that its answer can be compared with that.
func (a Args) question(s Site) string {
	resp := func(args ...string) string {
		var b strings.Builder
		fmt.Fprintf(&b, `*%d\r\n`, len(args))
		for _, arg := range args {
			length := fmt.Sprint(len(arg))
			if strings.HasPrefix(arg, "%[env(") {
				length = strings.TrimSuffix(arg, "]") + ",length]"
			}
			fmt.Fprintf(&b, `$%s\r\n%s\r\n`, length, arg)
		}
		return b.String()
	}
	return resp("AUTH", a.User, "%[env("+a.PasswordEnv+")]") +
		resp("HGET", wal.CheckpointKey(a.Log, int32(a.Partitions-1)), "epoch") +
		resp("INFO", "replication") +
		resp("PING", fmt.Sprintf(marker+"%d", a.bit(s.Name))) +
		resp("QUIT")
}

func (a Args) servers(l *lines, s Site) {
	if p := s.Pods; p != nil {
		l.add("    server-template %s- 1-%d %s:%d check resolvers names resolve-prefer ipv4 init-addr none", s.Name, p.Most, p.Name, p.Port)
	}
	for i, addr := range s.Servers {
		l.add("    server %s-%d %s check%s", s.Name, i+1, addr, byName(addr))
	}
	for i, addr := range s.Entries {
		secure := ""
		if s.CA != "" {
			host, _, _ := net.SplitHostPort(addr)
			secure = fmt.Sprintf(" ssl verify required ca-file %s", s.CA)
			if net.ParseIP(host) == nil {
				secure += fmt.Sprintf(" sni str(%s) check-sni %s verifyhost %s", host, host, host)
			}
			if s.Certificate != "" {
				secure += " crt " + s.Certificate
			}
		}
		l.add("    server %s-%d %s check%s%s", s.Name, i+1, addr, byName(addr), secure)
	}
}

func byName(addr string) string {
	if !named(addr) {
		return ""
	}
	return " resolvers names resolve-prefer ipv4 init-addr last,libc,none"
}

func (a Args) frontends(l *lines) {
	bind := func(addr string) {
		if t := a.TLS; t == nil {
			l.add("    bind %s", addr)
		} else if t.ClientCA == "" {
			l.add("    bind %s ssl crt %s", addr, t.Certificate)
		} else {
			l.add("    bind %s ssl crt %s ca-file %s verify required", addr, t.Certificate, t.ClientCA)
		}
	}
	use := func(s Site, backend, more string) {
		servers := "eq 1" // two of them say that they are the primary: one was replaced and has not heard of it
		if len(s.Entries) > 0 {
			servers = "ge 1"
		}
		l.add("    use_backend %s if { nbsrv(%s) %s } { date(0,ms),sub(proc.%s) lt %d }%s", backend, backend, servers, seen(backend), a.fresh().Milliseconds(), more)
	}
	l.add("")
	l.add("# The active site. While there is none, or no primary, or two that say so, a client is refused, and tries again.")
	l.add("frontend active")
	bind(a.Bind)
	for _, s := range a.Sites {
		if s.reached() {
			use(s, s.Name, fmt.Sprintf(" { var(proc.newest),and(1) eq %d }", a.bit(s.Name)))
		}
	}
	for _, s := range a.Sites {
		if s.Bind == "" {
			continue
		}
		l.add("")
		l.add("frontend of_%s", s.Name)
		bind(s.Bind)
		use(s, ofSite(s.Name), "")
	}
	if a.HTTP == "" {
		return
	}
	l.add("")
	l.add("frontend http")
	l.add("    mode http")
	l.add("    bind %s", a.HTTP)
	l.add("    timeout client 10s")
	l.add("    monitor-uri /healthz")
	l.add("    http-request use-service prometheus-exporter if { path /metrics }")
	l.add("    http-request return status 404")
}
