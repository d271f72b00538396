package modeltest

import "strconv"

// life is a time to live in seconds.
func (o *ops) life(old bool) (seconds int64, past bool) {
	if old && o.IntN(2) == 0 {
		return 1 + o.Int64N(shortLife), true
	}
	return longLife + o.Int64N(hour), false
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func (o *ops) strWithExpiry(k string, ts int64, old bool) command {
	life, past := o.life(old)
	v, at := o.value(), ts+life*1000
	switch o.IntN(9) {
	case 6:
		return command{log: []string{"RESTORE", k, itoa(at), o.dumps[0], "ABSTTL", "REPLACE"}, past: past}
	case 0:
		return command{log: []string{"SET", k, v, "PX", itoa(life * 1000)}, model: []string{"SET", k, v, "PXAT", itoa(at)}, past: past}
	case 1:
		return command{log: []string{"SETEX", k, itoa(life), v}, model: []string{"SET", k, v, "PXAT", itoa(at)}, past: past}
	case 2:
		return command{log: []string{"PSETEX", k, itoa(life * 1000), v}, model: []string{"SET", k, v, "PXAT", itoa(at)}, past: past}
	case 3:
		return command{log: []string{"GETEX", k, "EX", itoa(life)}, model: []string{"GETEX", k, "PXAT", itoa(at)}, past: past}
	case 4:
		return c("GETEX", k, "PERSIST")
	case 5:
		return command{log: []string{"SET", k, v, "EXAT", itoa(at / 1000)}, past: past}
	}
	return command{log: []string{"SET", k, v, "EX", itoa(life)}, model: []string{"SET", k, v, "PXAT", itoa(at)}, past: past}
}

func (o *ops) expire(k string, ts int64, old bool) command {
	life, past := o.life(old)
	at := ts + life*1000
	var option []string
	if o.IntN(3) == 0 {
		option = []string{o.pick("NX", "XX", "GT", "LT")}
	}
	cmd := func(past bool, name string, n int64) command {
		return command{
			log: append([]string{name, k, itoa(n)}, option...), model: append([]string{"PEXPIREAT", k, itoa(at)}, option...), past: past,
		}
	}
	switch o.IntN(4) {
	case 0:
		return cmd(past, "PEXPIRE", life*1000)
	case 1:
		at = at / 1000 * 1000
		return cmd(past, "EXPIREAT", at/1000)
	case 2:
		return cmd(past, "PEXPIREAT", at)
	}
	return cmd(past, "EXPIRE", life)
}
