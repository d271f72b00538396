# A reader in Python around the example of docs/clients.md.
import sys
# SNIPPET python-reader

for line in sys.stdin:
    what, *words = line.split()
    try:
        got = {"get": rdb.get, "hget": rdb.hget, "set": lambda key: rdb.set(key, "x")}[what](*words)
        print("nothing" if got is None else f"value: {got}", flush=True)
    except Exception as e:
        print("error:", type(e).__name__, str(e).replace("\n", " "), flush=True)
