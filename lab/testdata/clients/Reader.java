// A reader in Java around the example of docs/clients.md.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Set;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisSentineled;

class Reader {
    public static void main(String[] args) throws Exception {
// SNIPPET java-reader
        var in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            var words = line.split(" ");
            try {
                var got = switch (words[0]) {
                    case "get" -> rdb.get(words[1]);
                    case "hget" -> rdb.hget(words[1], words[2]);
                    default -> rdb.set(words[1], "x");
                };
                System.out.println(got == null ? "nothing" : "value: " + got);
            } catch (Exception e) {
                System.out.println("error: " + e.toString().replace('\n', ' '));
            }
        }
        rdb.close();
    }
}
