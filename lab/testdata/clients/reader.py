# A reader in Python around the example of docs/clients.md.
import sys
# SNIPPET python-reader

for line in sys.stdin:
    what, key = line.split()
    try:
        got = rdb.get(key) if what == "get" else rdb.set(key, "x")
        print("nothing" if got is None else f"value: {got}", flush=True)
    except Exception as e:
        print("error:", type(e).__name__, str(e).replace("\n", " "), flush=True)
